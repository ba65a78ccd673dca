package dnsproxy

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// A cache holds limit replies of upstreams at most. Which of them is evicted when
// a new one comes is found by SIEVE (Zhang et al., NSDI 2024): a hand passes from
// old to new and takes the first that was not used since it last came by. So
// names that are asked once, however many, do not evict those asked often. The
// nil cache holds nothing.
type cache struct {
	limit int

	mu             sync.Mutex
	entries        map[string]*entry
	newest, oldest *entry
	hand           *entry // where evictLocked goes on; nil means at the oldest
}

type entry struct {
	key          string
	newer, older *entry
	used         atomic.Bool                 // since the hand came by
	reply        atomic.Pointer[cachedReply] // nil once forgotten
}

// newCache returns a cache of limit replies, or nil if there are to be none.
func newCache(limit int) *cache {
	if limit <= 0 {
		return nil
	}
	return &cache{limit: limit, entries: make(map[string]*entry)}
}

// get returns the reply for the key, or nil.
func (c *cache) get(key []byte) *cachedReply {
	if c == nil || key == nil {
		return nil
	}
	c.mu.Lock()
	e := c.entries[string(key)]
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.reply.Load()
}

// put keeps r as the reply for the key, in place of an earlier one.
func (c *cache) put(key []byte, r *cachedReply) {
	if c == nil || key == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[string(key)]; e != nil {
		e.reply.Store(r)
		return
	}
	if len(c.entries) >= c.limit {
		c.evictLocked()
	}
	e := &entry{key: string(key), older: c.newest}
	e.reply.Store(r)
	if c.newest != nil {
		c.newest.newer = e
	} else {
		c.oldest = e
	}
	c.newest = e
	c.entries[e.key] = e
}

// forget drops the reply for the key. Its entry stays until it is evicted.
func (c *cache) forget(key []byte) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[string(key)]; e != nil {
		e.reply.Store(nil)
	}
}

// evictLocked drops one entry. There must be one.
func (c *cache) evictLocked() {
	e := c.hand
	for {
		if e == nil {
			e = c.oldest
		}
		if !e.used.Swap(false) {
			break
		}
		e = e.newer
	}
	c.hand = e.newer
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		c.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		c.oldest = e.newer
	}
	delete(c.entries, e.key)
}

// appendKey appends to b, which is empty, what must be the same in two queries
// for one reply to answer both: the name, the type, the flags that a resolver
// heeds and whether there is an OPT record. It returns nil if q holds anything
// else that could matter, such as EDNS options, or asks for a type that is not
// cached.
func (q *query) appendKey(b []byte) []byte {
	const heeded2, heeded3 = flagRD, flagAD | flagCD
	switch q.qtype {
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY:
		return nil
	}
	if q.qclass != dns.ClassINET || !q.plain || q.raw[2]&^heeded2 != 0 || q.raw[3]&^heeded3 != 0 {
		return nil
	}
	flags := q.raw[2]&heeded2 | q.raw[3]&heeded3
	if q.edns {
		flags |= 1 << 1
	}
	if q.do {
		flags |= 1 << 2
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(b, q.qtype)
	return append(b, q.key...)
}

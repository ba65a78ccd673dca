package dnsproxy

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

const (
	// longestTTL is how long a record is believed at most; RFC 8767 section 4
	// asks for a cap, which is also what becomes of a TTL with the top bit set.
	longestTTL = 24 * 60 * 60

	// largestRemembered bounds what one entry of the cache takes.
	largestRemembered = 4096

	// staleFor is how long after its end a reply is still given when no
	// upstream answers, and staleTTL what it then says (RFC 8767 sections 4, 5).
	staleFor = time.Hour
	staleTTL = 30
)

// A remembered reply is what an upstream said to a question. It does not change.
type remembered struct {
	msg      []byte // as it came
	ttls     []ttl
	at       time.Time
	lifetime time.Duration
}

// A ttl is where in a message one stands, and what it was, in seconds.
type ttl struct {
	offset uint16
	value  uint32
}

// remember returns what is to be kept of a reply to q; ok is false if that is
// nothing: it is cut, no answer for good, or says that it holds for no time.
func remember(q *query, reply []byte, now time.Time) (r *remembered, ok bool) {
	if len(reply) > largestRemembered || !conclusive(reply) {
		return nil, false
	}
	end, ok := questionEnd(reply)
	if !ok || end != headerLen+len(q.question) {
		return nil, false
	}
	r = &remembered{at: now}
	seconds := uint32(longestTTL)
	positive, negative := false, false
	for rr, section := range recordsOf(reply, end) {
		if rr == nil {
			return nil, false
		}
		if rr.rrtype == dns.TypeOPT {
			continue
		}
		value := min(rr.ttl, longestTTL)
		switch {
		case section == inAnswer && rr.rrtype == q.qtype:
			positive = true
		case section == inAuthority && rr.rrtype == dns.TypeSOA:
			// RFC 2308 section 5: how long the absence holds.
			if len(rr.rdata) < 4 {
				return nil, false
			}
			negative = true
			value = min(value, binary.BigEndian.Uint32(rr.rdata[len(rr.rdata)-4:]))
		}
		seconds = min(seconds, value)
		r.ttls = append(r.ttls, ttl{uint16(rr.ttlAt), value})
	}
	if !negative && (!positive || rcodeOf(reply) == dns.RcodeNameError) || seconds == 0 {
		return nil, false
	}
	r.msg = append([]byte(nil), reply...)
	r.lifetime = time.Duration(seconds) * time.Second
	return r, true
}

// conclusive reports whether a reply says all there is: it is not cut, and the name
// exists or does not.
func conclusive(reply []byte) bool {
	rcode := rcodeOf(reply)
	return reply[2]&flagTC == 0 && (rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError)
}

// fresh reports whether the reply still holds, and usable whether it may be
// given where nobody knows better.
func (r *remembered) fresh(now time.Time) bool  { return now.Sub(r.at) < r.lifetime }
func (r *remembered) usable(now time.Time) bool { return now.Sub(r.at) < r.lifetime+staleFor }

// append appends the reply to b, which is empty, as one to q: with its id, its
// question and what is left of the time.
func (r *remembered) append(b []byte, q *query, now time.Time) []byte {
	b = append(b, r.msg...)
	q.claim(b)
	b[2] &^= flagAA // RFC 1035 section 4.1.1: we are no authority for it
	age := uint32(max(0, now.Sub(r.at)) / time.Second)
	fresh := r.fresh(now)
	for _, t := range r.ttls {
		left := uint32(staleTTL)
		if fresh {
			left = t.value - age // which is less than the smallest
		}
		binary.BigEndian.PutUint32(b[t.offset:], left)
	}
	return b
}

// claim makes a reply to the same question one to q.
func (q *query) claim(reply []byte) {
	copy(reply[:2], q.raw)
	if reply[5] == 1 { // a server that did not understand may leave it out
		copy(reply[headerLen:], q.question)
	}
}

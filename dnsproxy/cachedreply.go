package dnsproxy

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

const (
	// longestTTL is how long a record is believed at most, in seconds: a day. RFC
	// 8767 section 4 asks for a cap, which is also what becomes of a TTL with the
	// top bit set.
	longestTTL = 24 * 60 * 60

	// largestCached bounds what one entry of the cache takes, in bytes.
	largestCached = 4096

	// staleFor is how long after its lifetime a reply is still given when no
	// upstream answers: the maximum stale timer of RFC 8767 section 5.
	staleFor = time.Hour

	// staleTTL is the TTL of a reply after its lifetime, in seconds (RFC 8767
	// section 4).
	staleTTL = 30
)

// A cachedReply is what an upstream answered to a question. It is immutable.
type cachedReply struct {
	msg      []byte // as it came
	ttls     []ttl
	at       time.Time // when it came
	lifetime time.Duration
}

// A ttl is one of a message.
type ttl struct {
	offset uint16 // in the message
	value  uint32 // in seconds
}

// newCachedReply returns what the cache keeps of a reply to q. Ok is false if it
// must not be cached: it is truncated, inconclusive or too large, or its TTL is 0.
func newCachedReply(q *query, reply []byte, now time.Time) (r *cachedReply, ok bool) {
	if len(reply) > largestCached || !conclusive(reply) {
		return nil, false
	}
	end, ok := questionEnd(reply)
	if !ok || end != headerLen+len(q.question) {
		return nil, false
	}
	r = &cachedReply{at: now}
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
			// RFC 2308 section 5: the absence holds for the SOA's minimum, its last field.
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

// conclusive reports whether a reply says all there is: it is not truncated, and
// the name exists or does not.
func conclusive(reply []byte) bool {
	rcode := rcodeOf(reply)
	return reply[2]&flagTC == 0 && (rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError)
}

// fresh reports whether the reply's lifetime has not ended.
func (r *cachedReply) fresh(now time.Time) bool { return now.Sub(r.at) < r.lifetime }

// usable reports whether the reply may be given if no upstream answers.
func (r *cachedReply) usable(now time.Time) bool { return now.Sub(r.at) < r.lifetime+staleFor }

// append appends the reply to b, which is empty, as one to q: with q's id and
// question, and with what is left of the TTLs.
func (r *cachedReply) append(b []byte, q *query, now time.Time) []byte {
	b = append(b, r.msg...)
	q.copyIDAndQuestion(b)
	b[2] &^= flagAA // RFC 1035 section 4.1.1: we are no authority for it
	age := uint32(max(0, now.Sub(r.at)) / time.Second)
	fresh := r.fresh(now)
	for _, t := range r.ttls {
		left := uint32(staleTTL)
		if fresh {
			left = t.value - age // age is less than the smallest TTL
		}
		binary.BigEndian.PutUint32(b[t.offset:], left)
	}
	return b
}

package dnsproxy

import (
	"encoding/binary"
	"iter"
	"slices"

	"github.com/miekg/dns"
)

const (
	headerLen = 12  // RFC 1035 section 4.1.1
	optLen    = 11  // RFC 6891 section 6.1.2: an OPT record without options
	minUDP    = 512 // RFC 1035 section 4.2.1: what a client without EDNS takes

	flagQR = 1 << 7 // in the header's third byte
	flagAA = 1 << 2 // in the header's third byte
	flagTC = 1 << 1 // in the header's third byte
	flagRD = 1 << 0 // in the header's third byte
	flagAD = 1 << 5 // in the header's fourth byte
	flagCD = 1 << 4 // in the header's fourth byte
	flagDO = 1 << 7 // in the seventh byte of an OPT's record head (RFC 3225 section 3)
)

// The lower byte of where a header counts the records of a section (RFC 1035
// section 4.1.1).
const (
	inAnswer     = 7
	inAuthority  = 9
	inAdditional = 11
)

// A query is a client's message, read as far as is needed to answer it or to
// pass it on.
type query struct {
	raw      []byte // the whole message
	question []byte // of raw: name, type and class; nil if it could not be read

	key    []byte // the name in wire form and lower case, of lowered
	qtype  uint16
	qclass uint16

	edns bool
	size int // what the client takes over UDP, at least minUDP
	do   bool

	plain bool // nothing is there but the question and an OPT record without options

	fault int // the rcode with which to refuse it, or 0

	lowered [255]byte // RFC 1035 section 2.3.4
}

// parseQuery reads a client's message. It returns nil for one that must not
// be answered at all: too short to have an id, or itself a response.
func parseQuery(raw []byte) *query {
	q := new(query)
	if !q.parse(raw) {
		return nil
	}
	return q
}

// parse makes q the query of a message, of which it keeps parts. It reports
// false for a message that must not be answered at all: too short to have an id,
// or itself a response.
func (q *query) parse(raw []byte) bool {
	if len(raw) < headerLen || raw[2]&flagQR != 0 {
		return false
	}
	q.raw, q.question, q.key = raw, nil, nil
	q.qtype, q.qclass = 0, 0
	q.edns, q.size, q.do, q.plain = false, minUDP, false, false
	switch {
	case raw[2]>>3&0xF != dns.OpcodeQuery:
		q.fault = dns.RcodeNotImplemented
	case binary.BigEndian.Uint16(raw[4:]) != 1:
		q.fault = dns.RcodeFormatError
	default:
		q.fault = q.parseBody()
	}
	return true
}

// parseBody reads the question and looks for an OPT record (RFC 6891 section
// 6.1.1: at most one, owned by the root). The other records are stepped over:
// whatever is in them is between the client and the upstream.
func (q *query) parseBody() (fault int) {
	end, ok := questionEnd(q.raw)
	if !ok {
		return dns.RcodeFormatError
	}
	q.question = q.raw[headerLen:end]
	q.key = q.lowered[:end-4-headerLen]
	for i, c := range q.question[:len(q.key)] { // a label's length is below 64 and so not a letter
		q.key[i] = lower(c)
	}
	q.qtype = binary.BigEndian.Uint16(q.raw[end-4:])
	q.qclass = binary.BigEndian.Uint16(q.raw[end-2:])

	opt, count, ok := findOPT(q.raw, end)
	if !ok || count > 1 {
		return dns.RcodeFormatError
	}
	if count == 0 {
		q.plain = len(q.raw) == end
		return dns.RcodeSuccess
	}
	q.edns = true
	q.size = max(minUDP, int(binary.BigEndian.Uint16(opt[3:])))
	q.do = opt[7]&flagDO != 0
	q.plain = opt[7]&^flagDO == 0 && opt[8] == 0 && len(opt) == optLen && len(q.raw) == end+optLen && q.raw[inAdditional] == 1 // not in another section
	if version := opt[6]; version != 0 {
		return dns.RcodeBadVers
	}
	return dns.RcodeSuccess
}

// questionEnd returns where the question of a message with one question ends.
// Its name must be written out: there is nothing before it to point to.
func questionEnd(msg []byte) (end int, ok bool) {
	end, pointer, ok := skipName(msg, headerLen)
	if !ok || pointer || end+4 > len(msg) || end-headerLen > 255 { // RFC 1035 section 2.3.4
		return 0, false
	}
	return end + 4, true
}

// skipName returns where the name at off ends, without following a
// compression pointer (RFC 1035 section 4.1.4).
func skipName(msg []byte, off int) (end int, pointer, ok bool) {
	for off < len(msg) {
		switch c := int(msg[off]); {
		case c == 0:
			return off + 1, false, true
		case c < 64:
			off += 1 + c
		case c >= 0xC0:
			return off + 2, true, off+2 <= len(msg)
		default: // 0x40 and 0x80 are reserved
			return 0, false, false
		}
	}
	return 0, false, false
}

// findOPT steps over the records of msg from off on, and returns the last OPT
// record and how many there are; ok is false if the records do not fit into
// the message or an OPT is not owned by the root.
func findOPT(msg []byte, off int) (opt []byte, count int, ok bool) {
	for rr := range recordsOf(msg, off) {
		if rr == nil {
			return nil, 0, false
		}
		if rr.rrtype == dns.TypeOPT {
			if rr.whole[0] != 0 {
				return nil, 0, false
			}
			opt = rr.whole
			count++
		}
	}
	return opt, count, true
}

// A rawRecord is a record in a message, read as far as is needed to step over it.
type rawRecord struct {
	rrtype uint16
	ttl    uint32
	ttlAt  int    // offset in the message
	whole  []byte // name and rdata included
	rdata  []byte // of whole
}

// recordsOf yields the records of a message from off on, where its question
// ends, each with its section, such as inAnswer. A nil record means that the
// message is broken there, and ends it. The record is overwritten by the next.
func recordsOf(msg []byte, off int) iter.Seq2[*rawRecord, int] {
	return func(yield func(*rawRecord, int) bool) {
		var r rawRecord
		for section := inAnswer; section <= inAdditional; section += 2 {
			for range binary.BigEndian.Uint16(msg[section-1:]) {
				start := off
				end, _, ok := skipName(msg, off)
				if !ok || end+10 > len(msg) {
					yield(nil, section)
					return
				}
				off = end + 10 + int(binary.BigEndian.Uint16(msg[end+8:]))
				if off > len(msg) {
					yield(nil, section)
					return
				}
				r = rawRecord{
					rrtype: binary.BigEndian.Uint16(msg[end:]),
					ttl:    binary.BigEndian.Uint32(msg[end+4:]),
					ttlAt:  end + 4,
					whole:  msg[start:off],
					rdata:  msg[end+10 : off],
				}
				if !yield(&r, section) {
					return
				}
			}
		}
	}
}

// dropReason returns why a message is none that parse accepts.
func dropReason(raw []byte) Dropped {
	if len(raw) < headerLen {
		return DroppedStump
	}
	return DroppedResponse
}

// id returns the id the client gave the query.
func (q *query) id() uint16 { return binary.BigEndian.Uint16(q.raw) }

// clone returns a copy that shares no memory with q or its message.
func (q *query) clone() *query {
	c := *q
	c.raw = slices.Clone(q.raw)
	c.question = c.raw[headerLen : headerLen+len(q.question)]
	c.key = c.lowered[:len(q.key)]
	return &c
}

// copyIDAndQuestion makes reply, which answers the same question, one to q: it
// gets q's id, and the name in the case in which q wrote it.
func (q *query) copyIDAndQuestion(reply []byte) {
	copy(reply[:2], q.raw)
	if reply[5] == 1 { // a server that did not understand may leave it out
		copy(reply[headerLen:], q.question)
	}
}

// rcodeOf returns the code in a message's header, without EDNS's upper bits.
func rcodeOf(msg []byte) Rcode { return Rcode(msg[3] & 0xF) }

package dnsproxy

import (
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
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

// dropReason returns why a message is none that parse accepts.
func dropReason(raw []byte) Dropped {
	if len(raw) < headerLen {
		return DroppedStump
	}
	return DroppedResponse
}

// id returns the id the client gave the query.
func (q *query) id() uint16 { return binary.BigEndian.Uint16(q.raw) }

// name returns the name asked for, as in a zone file, in the client's case.
func (q *query) name() string {
	name, _, err := dns.UnpackDomainName(q.raw, headerLen)
	if err != nil {
		return "" // which parse has refused
	}
	return name
}

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

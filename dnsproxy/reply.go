package dnsproxy

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// A record is an own one: what belongs to a name, without the name.
type record struct {
	rrtype uint16
	rdata  []byte // in wire form, without compression
}

// appendHead appends the head of a reply to b, which is empty, and the question
// as it was asked (RFC 1035 section 4.1).
func (q *query) appendHead(b []byte, rcode int, authoritative bool) []byte {
	const flagRA = 1 << 7
	opcodeAndRD := q.raw[2] & 0x79
	cd := q.raw[3] & flagCD // RFC 4035 section 3.2.2
	b = append(b, q.raw[0], q.raw[1], flagQR|opcodeAndRD, flagRA|cd|byte(rcode&0xF), 0, 0, 0, 0, 0, 0, 0, 0)
	if authoritative {
		b[2] |= flagAA
	}
	if q.question != nil {
		b[5] = 1
		b = append(b, q.question...)
	}
	return b
}

// appendRecord appends a record that the name in the question owns. Replies made
// here have so few records that the lower byte of a section's count is enough.
func appendRecord(b []byte, section int, r record, ttl uint32) []byte {
	b[section]++
	b = append(b, 0xC0, headerLen) // RFC 1035 section 4.1.4
	b = binary.BigEndian.AppendUint16(b, r.rrtype)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.rdata)))
	return append(b, r.rdata...)
}

// appendOPT ends a reply with an OPT record, if the client sent one (RFC 6891
// section 6.1.1). The record has the upper bits of rcode and these options.
func (q *query) appendOPT(b []byte, rcode int, options ...byte) []byte {
	if !q.edns {
		return b
	}
	b[inAdditional]++
	do := byte(0)
	if q.do {
		do = flagDO // RFC 3225 section 3: a reply copies it
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, dns.TypeOPT)
	b = binary.BigEndian.AppendUint16(b, ourSize)
	b = append(b, byte(rcode>>4), 0, do, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(options)))
	return append(b, options...)
}

// serverFailure returns a SERVFAIL, with code and text as the reason for clients
// with EDNS (RFC 8914 section 2).
func (q *query) serverFailure(code uint16, text string) []byte {
	text = text[:min(len(text), 128)] // a reply of ours fits every client
	option := binary.BigEndian.AppendUint16(nil, dns.EDNS0EDE)
	option = binary.BigEndian.AppendUint16(option, uint16(2+len(text)))
	option = binary.BigEndian.AppendUint16(option, code)
	option = append(option, text...)
	return q.appendOPT(q.appendHead(nil, dns.RcodeServerFailure, false), dns.RcodeServerFailure, option...)
}

// soa returns the record that lets a client cache for ttl seconds that there
// is no data (RFC 2308 section 5). The name in the question is its own zone, so
// nothing is said of any other name.
func soa(ttl uint32) record {
	rdata := appendName(nil, Canary+".")
	rdata = appendName(rdata, "nobody.invalid.")
	const serial, refresh, retry, expire = 1, 3600, 1200, 604800
	for _, n := range []uint32{serial, refresh, retry, expire, ttl} {
		rdata = binary.BigEndian.AppendUint32(rdata, n)
	}
	return record{dns.TypeSOA, rdata}
}

// appendName appends the wire form of a name, or nothing if there is none.
func appendName(b []byte, name string) []byte {
	var wire [255]byte // RFC 1035 section 2.3.4
	end, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	if err != nil {
		return b
	}
	return append(b, wire[:end]...)
}

package dnsproxy

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Canary is the name at which the Server answers for itself: a TXT record
// with the two strings "hyco-sidecar <version>" and "instance=<id>", where the
// id is drawn anew by every call of [Server.Serve]. The TTL is 0, so that a cache
// between two instances does not give the one's answer for the other.
const Canary = "hyco-sidecar.internal"

// instancePrefix stands before the instance's id in a string of the canary.
const instancePrefix = "instance="

// ourSize is the largest message we take over UDP, in bytes, as announced in our
// OPT records: what fits IPv6's least MTU of 1280 bytes unfragmented.
const ourSize = 1232

// An answerer answers the names of the table, those of this process, and queries
// that are refused whatever their name. It is immutable.
type answerer struct {
	table      *Table
	ttl        uint32 // seconds
	noData     record // of the table's names
	canary     record
	canaryName []byte // in wire form
	probeName  []byte // the name by which this instance finds loops, in wire form
}

// newAnswerer returns the answerer of an instance.
func newAnswerer(table *Table, ttl time.Duration, version, instance string) answerer {
	a := answerer{
		table:      table,
		ttl:        seconds(ttl),
		canary:     record{rrtype: dns.TypeTXT},
		canaryName: appendName(nil, Canary+"."),
		probeName:  appendName(nil, probeName(instance)),
	}
	a.noData = soa(a.ttl)
	product := strings.TrimSpace("hyco-sidecar " + version)
	for _, s := range []string{product[:min(len(product), 255)], instancePrefix + instance} {
		a.canary.rdata = append(append(a.canary.rdata, byte(len(s))), s...) // RFC 1035 section 3.3
	}
	return a
}

// answer appends the reply to q to b, which is empty, and says what it is. It
// returns nil if q is neither one of these names nor to be refused.
func (a *answerer) answer(b []byte, q *query) ([]byte, Answered) {
	if q.fault != dns.RcodeSuccess {
		return q.refuse(b, q.fault)
	}
	source, ttl, noData := SourceOwn, a.ttl, a.noData
	r, ours := a.table.record(q.key)
	if !ours {
		if !bytes.Equal(q.key, a.canaryName) && !bytes.Equal(q.key, a.probeName) {
			return nil, Answered{}
		}
		source, ttl, noData, r = SourceCanary, 0, soa(0), a.canary
	}
	if q.qclass != dns.ClassINET {
		return q.refuse(b, dns.RcodeRefused)
	}
	b = q.appendHead(b, dns.RcodeSuccess, true)
	if q.qtype == r.rrtype || q.qtype == dns.TypeANY {
		b = appendRecord(b, inAnswer, r, ttl)
	} else {
		b = appendRecord(b, inAuthority, noData, ttl)
	}
	return q.appendOPT(b, dns.RcodeSuccess), Answered{Source: source, Type: Type(q.qtype)}
}

// refuse appends a reply to b, which is empty, that has no answer but rcode, and
// says what it is.
func (q *query) refuse(b []byte, rcode int) ([]byte, Answered) {
	b = q.appendOPT(q.appendHead(b, rcode, false), rcode)
	return b, Answered{Source: SourceRefused, Type: Type(q.qtype), Rcode: Rcode(rcode)}
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

// seconds returns d as a TTL: whole seconds, rounded down.
func seconds(d time.Duration) uint32 {
	const most = 1<<31 - 1 // RFC 2181 section 8
	return uint32(min(max(d/time.Second, 0), most))
}

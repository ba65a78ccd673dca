package dnsproxy

import (
	"bytes"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Canary is the name at which the Server answers for itself: a TXT record
// with the two strings "hyco-sidecar <version>" and "instance=<id>", where the
// id is drawn anew by every call of [Server.Serve]. The TTL is 0, so that a cache
// between two instances does not give the one's answer for the other.
const Canary = "hyco-sidecar.internal"

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

// instancePrefix stands before the instance's id in a string of the canary.
const instancePrefix = "instance="

// seconds returns d as a TTL: whole seconds, rounded down.
func seconds(d time.Duration) uint32 {
	const most = 1<<31 - 1 // RFC 2181 section 8
	return uint32(min(max(d/time.Second, 0), most))
}

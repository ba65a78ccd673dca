package dnsproxy

import (
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Canary is the name at which the Server answers for itself: a TXT record
// with the two strings "hyco-sidecar <version>" and "instance=<id>", where the
// id is drawn anew by every call of Serve. The TTL is 0, so that no cache
// between two instances answers for the other.
const Canary = "hyco-sidecar.internal"

// ourSize is the largest message we take over UDP, as announced in our OPT
// records: what fits an Ethernet frame and IPv6's least MTU unfragmented.
const ourSize = 1232

// answerer knows all that can be answered without asking anybody. It is
// immutable.
type answerer struct {
	table  *Table
	ttl    uint32 // seconds
	canary [2]string
	probe  string // the name by which this instance finds loops
}

// answer returns the reply to a client's message and what to report of it. If
// reply is nil, the query q is to be forwarded; if that is nil too, the
// message is to be dropped.
func (a *answerer) answer(raw []byte) (reply []byte, q *query, report Answered) {
	q = parseQuery(raw)
	if q == nil {
		return nil, nil, Answered{}
	}
	if q.fault != dns.RcodeSuccess {
		return q.refuse(q.fault)
	}
	report = Answered{Source: SourceOwn, Type: Type(q.qtype)}
	var rr dns.RR
	ttl := a.ttl
	key := dns.CanonicalName(q.name)
	if addr, ok := a.table.lookup(key); ok {
		rr = &dns.A{Hdr: q.header(dns.TypeA, ttl), A: addr.AsSlice()}
	} else if name, ok := a.table.pointer(key); ok {
		rr = &dns.PTR{Hdr: q.header(dns.TypePTR, ttl), Ptr: name}
	} else if key == Canary+"." || key == a.probe && a.probe != "" {
		report.Source = SourceCanary
		ttl = 0
		rr = &dns.TXT{Hdr: q.header(dns.TypeTXT, ttl), Txt: a.canary[:]}
	} else {
		return nil, q, Answered{}
	}
	if q.qclass != dns.ClassINET {
		return q.refuse(dns.RcodeRefused)
	}
	m := q.reply(dns.RcodeSuccess)
	m.Authoritative = true
	if rrtype := rr.Header().Rrtype; q.qtype == rrtype || q.qtype == dns.TypeANY {
		m.Answer = []dns.RR{rr}
	} else {
		m.Ns = []dns.RR{q.soa(ttl)}
	}
	return pack(m), q, report
}

// refuse returns what answer returns for a query that has no answer but rcode.
func (q *query) refuse(rcode int) ([]byte, *query, Answered) {
	return pack(q.reply(rcode)), q, Answered{Source: SourceRefused, Type: Type(q.qtype), Rcode: Rcode(rcode)}
}

// reply returns a message with what every reply takes over from its query.
func (q *query) reply(rcode int) *dns.Msg {
	m := &dns.Msg{
		MsgHdr: dns.MsgHdr{
			Id:                 q.id(),
			Response:           true,
			Opcode:             int(q.raw[2] >> 3 & 0xF),
			RecursionDesired:   q.raw[2]&1 != 0,
			RecursionAvailable: true,
			CheckingDisabled:   q.raw[3]&0x10 != 0, // RFC 4035 section 3.2.2
			Rcode:              rcode,
		},
		Compress: true,
	}
	if q.question != nil {
		m.Question = []dns.Question{{Name: q.name, Qtype: q.qtype, Qclass: q.qclass}}
	}
	if q.edns {
		m.SetEdns0(ourSize, q.do) // RFC 3225 section 3: DO is copied
	}
	return m
}

// header returns the header of a record that q's name owns.
func (q *query) header(rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: q.name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// soa returns the record that lets a client cache for ttl seconds that there
// is no data (RFC 2308 section 5). The name is its own zone, so nothing is
// said of any other name.
func (q *query) soa(ttl uint32) dns.RR {
	return &dns.SOA{
		Hdr:     q.header(dns.TypeSOA, ttl),
		Ns:      Canary + ".",
		Mbox:    "nobody.invalid.",
		Serial:  1,
		Refresh: 3600,
		Retry:   1200,
		Expire:  604800,
		Minttl:  ttl,
	}
}

// overloaded returns what answer returns for a query that nobody is free to
// forward.
func (q *query) overloaded() ([]byte, Answered) {
	reply := q.serverFailure(dns.ExtendedErrorCodeOther, "too many queries in flight")
	return reply, Answered{Source: SourceRefused, Type: Type(q.qtype), Rcode: dns.RcodeServerFailure}
}

// serverFailure returns a SERVFAIL with the reason for those who understand it
// (RFC 8914).
func (q *query) serverFailure(code uint16, text string) []byte {
	m := q.reply(dns.RcodeServerFailure)
	if opt := m.IsEdns0(); opt != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
	}
	return pack(m)
}

// pack returns the wire form of a message made here. What these hold has been
// read from the wire before or has been checked by NewTable, so an error
// cannot come up; if it did, the reply would be SERVFAIL and not nil, for that
// means that the query is to be forwarded.
func pack(m *dns.Msg) []byte {
	wire, err := m.Pack()
	if err != nil {
		m.Rcode = dns.RcodeServerFailure
		m.Question, m.Answer, m.Ns, m.Extra = nil, nil, nil, nil
		wire, _ = m.Pack()
	}
	return wire
}

// canaryStrings returns the strings of the canary's TXT record, of which each
// may have 255 bytes (RFC 1035 section 3.3).
func canaryStrings(version, instance string) [2]string {
	escape := strings.NewReplacer(`\`, `\\`)
	product := strings.TrimSpace("hyco-sidecar " + version)
	return [2]string{
		escape.Replace(product[:min(len(product), 255)]),
		instancePrefix + instance,
	}
}

const instancePrefix = "instance="

// seconds returns d as a TTL: whole seconds, rounded down.
func seconds(d time.Duration) uint32 {
	const most = 1<<31 - 1 // RFC 2181 section 8
	return uint32(min(max(d/time.Second, 0), most))
}

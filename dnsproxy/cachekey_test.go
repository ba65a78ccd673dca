package dnsproxy_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// A client that asks in another way may get another answer.
func TestBitsThatChangeTheAnswerAreInTheKey(t *testing.T) {
	variants := map[string]func(*dns.Msg){
		"plain":        func(*dns.Msg) {},
		"EDNS":         func(m *dns.Msg) { m.SetEdns0(1232, false) },
		"DO":           func(m *dns.Msg) { m.SetEdns0(1232, true) },
		"DO and CD":    func(m *dns.Msg) { m.SetEdns0(1232, true); m.CheckingDisabled = true },
		"CD":           func(m *dns.Msg) { m.CheckingDisabled = true },
		"AD":           func(m *dns.Msg) { m.AuthenticatedData = true },
		"no recursion": func(m *dns.Msg) { m.RecursionDesired = false },
		"AAAA":         func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
		"CAA":          func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeCAA }, // 257: its lower byte is that of A
	}
	synctest.Test(t, func(t *testing.T) {
		answers := map[uint16]dns.RR{
			dns.TypeA:    record(t),
			dns.TypeAAAA: fakedns.RR(t, host+". 300 IN AAAA 2001:db8::7"),
			dns.TypeCAA:  fakedns.RR(t, host+`. 300 IN CAA 0 issue "ca.contoso.com"`),
		}
		up := &memoryUpstream{handle: func(network string, q *dns.Msg) []byte {
			return replying(answers[q.Question[0].Qtype])(network, q)
		}}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		texts := make(map[string]string)
		for round := range 2 {
			for name, change := range variants {
				q := question(host, dns.TypeA)
				change(q)
				got := c.ask(q).String()
				if round == 0 {
					texts[name] = got
				} else if got != texts[name] {
					t.Errorf("%s: got %s, want %s", name, got, texts[name])
				}
				if cached := c.source() == dnsproxy.SourceCache; cached != (round == 1) {
					t.Errorf("%s, round %d: from the cache: %v", name, round, cached)
				}
			}
		}
		if n := up.count(host); n != len(variants) {
			t.Errorf("asked %d times for %d variants", n, len(variants))
		}
	})
}

// Options are between one client and the upstream (RFC 7873, RFC 7871), a
// signature is of one message (RFC 8945), and so are their replies.
func TestQueriesWithMoreThanAQuestionGoRoundTheCache(t *testing.T) {
	option := func(o dns.EDNS0) func(*dns.Msg) {
		return func(m *dns.Msg) { m.SetEdns0(1232, false).IsEdns0().Option = []dns.EDNS0{o} }
	}
	for name, change := range map[string]func(*dns.Msg){
		"cookie":        option(&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}),
		"client subnet": option(&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}}),
		"name server":   option(&dns.EDNS0_NSID{Code: dns.EDNS0NSID}),
		"unknown":       option(&dns.EDNS0_LOCAL{Code: 65001}),
		"a record":      func(m *dns.Msg) { m.Extra = append(m.Extra, record(t)) },
		"a signature":   func(m *dns.Msg) { m.SetTsig("key.contoso.com.", dns.HmacSHA256, 300, 946684800) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &memoryUpstream{handle: replying(record(t))}
				c := serveInMemory(t, &dnsproxy.Server{}, up)
				plain := question(host, dns.TypeA).SetEdns0(1232, false)
				other := question(host, dns.TypeA)
				change(other)
				for i, q := range []*dns.Msg{other, other, plain, other} {
					if got := c.ask(q); len(got.Answer) != 1 {
						t.Errorf("got %v", got)
					}
					if n := up.count(host); n != i+1 || c.source() != dnsproxy.SourceForwarded {
						t.Errorf("query %d came from %q, the upstream had %d", i+1, c.source(), n)
					}
				}
				c.ask(plain)
				if c.source() != dnsproxy.SourceCache {
					t.Error("the plain query is not answered from the cache")
				}
			})
		})
	}
}

// An OPT record belongs to the additional section (RFC 6891 section 6.1.1); what an
// upstream makes of one elsewhere is for its client alone.
func TestMisplacedOPTGoesRoundTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: replying(record(t))}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		good := wire(t, question(host, dns.TypeA).SetEdns0(1232, false))
		c.raw(good)
		misplaced := slices.Clone(good)
		misplaced[7], misplaced[11] = 1, 0 // it is an answer
		for range 2 {
			c.raw(misplaced)
			if got := c.source(); got != dnsproxy.SourceForwarded {
				t.Errorf("the answer came from %q", got)
			}
		}
		c.raw(good)
		if got := c.source(); got != dnsproxy.SourceCache {
			t.Errorf("the ordinary query's answer came from %q", got)
		}
	})
}

func TestWhatIsNoOrdinaryQuestionIsNotCached(t *testing.T) {
	for name, change := range map[string]func(*dns.Question){
		"class CH":    func(q *dns.Question) { q.Qclass = dns.ClassCHAOS },
		"class ANY":   func(q *dns.Question) { q.Qclass = dns.ClassANY },
		"class 65281": func(q *dns.Question) { q.Qclass = 65281 },
		"class 257":   func(q *dns.Question) { q.Qclass = 257 }, // 1 in its lower byte, as IN
		"type ANY":    func(q *dns.Question) { q.Qtype = dns.TypeANY },
		"type AXFR":   func(q *dns.Question) { q.Qtype = dns.TypeAXFR },
		"type IXFR":   func(q *dns.Question) { q.Qtype = dns.TypeIXFR },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &memoryUpstream{handle: replying(record(t))}
				c := serveInMemory(t, &dnsproxy.Server{}, up)
				q := question(host, dns.TypeA)
				change(&q.Question[0])
				for range 2 {
					if got := c.ask(q); len(got.Answer) != 1 || got.Question[0] != q.Question[0] {
						t.Errorf("got %v", got)
					}
				}
				if n := up.count(host); n != 2 {
					t.Errorf("asked %d times", n)
				}
			})
		})
	}
}

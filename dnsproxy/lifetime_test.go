package dnsproxy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

const day = 24 * time.Hour

// lifetimes are replies to a question for A of www.contoso.com and how long
// each may be repeated; 0 is not at all.
var lifetimes = []struct {
	name      string
	rcode     int
	truncated bool
	answer    []string
	authority []string
	extra     []string
	want      time.Duration
}{
	{"an address", 0, false, []string{"www.contoso.com. 300 IN A 192.0.2.7"}, nil, nil, 300 * time.Second},
	{"the least TTL counts", 0, false, []string{"www.contoso.com. 300 IN A 192.0.2.7", "www.contoso.com. 40 IN A 192.0.2.8"}, nil, nil, 40 * time.Second},
	{"of the authority too", 0, false, []string{"www.contoso.com. 300 IN A 192.0.2.7"}, []string{"contoso.com. 30 IN NS ns.contoso.com."}, nil, 30 * time.Second},
	{"and of what is added", 0, false, []string{"www.contoso.com. 300 IN A 192.0.2.7"}, nil, []string{"ns.contoso.com. 20 IN A 192.0.2.53"}, 20 * time.Second},
	{"TTL 1", 0, false, []string{"www.contoso.com. 1 IN A 192.0.2.7"}, nil, nil, time.Second},
	{"TTL 0", 0, false, []string{"www.contoso.com. 0 IN A 192.0.2.7"}, nil, nil, 0},
	{"one TTL of 0", 0, false, []string{"www.contoso.com. 300 IN A 192.0.2.7", "www.contoso.com. 0 IN A 192.0.2.8"}, nil, nil, 0},
	{"a day is the most", 0, false, []string{"www.contoso.com. 604800 IN A 192.0.2.7"}, nil, nil, day},
	{"TTL 2^31-1", 0, false, []string{"www.contoso.com. 2147483647 IN A 192.0.2.7"}, nil, nil, day},
	{"TTL 2^31", 0, false, []string{"www.contoso.com. 2147483648 IN A 192.0.2.7"}, nil, nil, day},
	{"TTL 2^32-1", 0, false, []string{"www.contoso.com. 4294967295 IN A 192.0.2.7"}, nil, nil, day},

	{"NXDOMAIN", 3, false, nil, []string{"contoso.com. 60 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 300"}, nil, 60 * time.Second},
	{"NXDOMAIN by the minimum", 3, false, nil, []string{"contoso.com. 300 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 50"}, nil, 50 * time.Second},
	{"NXDOMAIN with minimum 0", 3, false, nil, []string{"contoso.com. 300 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 0"}, nil, 0},
	{"NXDOMAIN with TTL 0", 3, false, nil, []string{"contoso.com. 0 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 300"}, nil, 0},
	{"NXDOMAIN with minimum 2^31", 3, false, nil, []string{"contoso.com. 604800 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 2147483648"}, nil, day},
	{"NXDOMAIN without a SOA", 3, false, nil, nil, nil, 0},
	{"NXDOMAIN behind an alias", 3, false, []string{"www.contoso.com. 30 IN CNAME nx.contoso.com."}, []string{"contoso.com. 60 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 300"}, nil, 30 * time.Second},
	{"no data", 0, false, nil, []string{"contoso.com. 60 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 300"}, nil, 60 * time.Second},
	{"no data by the minimum", 0, false, nil, []string{"contoso.com. 300 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 50"}, nil, 50 * time.Second},
	{"no data without a SOA", 0, false, nil, nil, nil, 0},
	{"no data behind an alias", 0, false, []string{"www.contoso.com. 300 IN CNAME v6.contoso.com."}, []string{"contoso.com. 300 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 50"}, nil, 50 * time.Second},
	{"an alias that ends nowhere", 0, false, []string{"www.contoso.com. 300 IN CNAME v6.contoso.com."}, nil, nil, 0},
	{"a referral", 0, false, nil, []string{"contoso.com. 300 IN NS ns.contoso.com."}, nil, 0},

	{"truncated", 0, true, []string{"www.contoso.com. 300 IN A 192.0.2.7"}, nil, nil, 0},
	{"SERVFAIL", 2, false, nil, []string{"contoso.com. 60 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 300"}, nil, 0},
	{"REFUSED", 5, false, nil, nil, nil, 0},
	{"FORMERR", 1, false, nil, nil, nil, 0},
	{"NOTIMP", 4, false, nil, nil, nil, 0},
	{"YXDOMAIN", 6, false, []string{"www.contoso.com. 300 IN A 192.0.2.7"}, nil, nil, 0},
}

func TestRepliesAreRepeatedForTheirLifetime(t *testing.T) {
	for _, test := range lifetimes {
		t.Run(test.name, func(t *testing.T) {
			parsed := func(lines []string) (records []dns.RR) {
				for _, line := range lines {
					records = append(records, fakedns.RR(t, line))
				}
				return records
			}
			synctest.Test(t, func(t *testing.T) {
				up := &memoryUpstream{handle: func(_ string, q *dns.Msg) []byte {
					m := replyTo(q, test.rcode, parsed(test.answer)...)
					m.Truncated = test.truncated
					m.Ns, m.Extra = parsed(test.authority), parsed(test.extra)
					return packed(m)
				}}
				c := serveInMemory(t, &dnsproxy.Server{}, up)
				q := question(host, dns.TypeA)
				first := c.ask(q)
				asked := up.count(host) // a lone upstream that fails may be asked twice
				synctest.Wait()         // the first reply's hook is called before the second's
				if test.want != 0 {
					time.Sleep(test.want - time.Second)
					got := c.ask(q)
					if source := c.source(); source != dnsproxy.SourceCache {
						t.Errorf("after %v it came from %q", test.want-time.Second, source)
					}
					checkAged(t, first, got, uint32(test.want/time.Second)-1)
					if n := up.count(host); n != asked {
						t.Errorf("the upstream was asked %d times after %v", n, test.want-time.Second)
					}
					time.Sleep(time.Second)
				}
				again := c.ask(q)
				if up.count(host) == asked || c.source() != dnsproxy.SourceForwarded {
					t.Errorf("after %v it came from %q", test.want, c.source())
				}
				if got, want := again.String(), first.String(); got != want {
					t.Errorf("the upstream's reply was\n%s, then\n%s", want, got)
				}
			})
		})
	}
}

// checkAged checks that got is first, age seconds later: no record lives
// longer than it should, none longer than a day, and a SOA that denies
// something no longer than it may be denied (RFC 2308 section 5).
func checkAged(t *testing.T, first, got *dns.Msg, age uint32) {
	t.Helper()
	want := first.Copy()
	for _, section := range [][]dns.RR{want.Answer, want.Ns, want.Extra} {
		for _, rr := range section {
			h := rr.Header()
			h.Ttl = min(h.Ttl, 86400)
			if soa, ok := rr.(*dns.SOA); ok {
				h.Ttl = min(h.Ttl, soa.Minttl)
			}
			h.Ttl -= age
		}
	}
	sameText(t, got, want.String())
}

func TestNoSuchNameIsRepeatedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: func(_ string, q *dns.Msg) []byte {
			m := replyTo(q, dns.RcodeNameError)
			m.Ns = []dns.RR{fakedns.RR(t, "contoso.com. 3600 IN SOA ns.contoso.com. root.contoso.com. 7 7200 900 1209600 300")}
			return packed(m)
		}}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		q := question("nx.contoso.com", dns.TypeMX)
		c.ask(q)
		time.Sleep(20 * time.Second)
		sameText(t, c.ask(q), `
;; opcode: QUERY, status: NXDOMAIN, id: 4660
;; flags: qr rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0

;; QUESTION SECTION:
;nx.contoso.com.	IN	 MX

;; AUTHORITY SECTION:
contoso.com.	280	IN	SOA	ns.contoso.com. root.contoso.com. 7 7200 900 1209600 300
`)
		// What does not exist for one type is asked again for another: the cache
		// does not know zones (RFC 8020 would allow more).
		c.ask(question("nx.contoso.com", dns.TypeA))
		if n := up.count("nx.contoso.com."); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

package dnsproxy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// patience is what common stub resolvers wait.
const patience = 5 * time.Second

// within asks and checks that the client is still there when the reply comes.
func within(t *testing.T, c *memoryClient, q *dns.Msg) *dns.Msg {
	t.Helper()
	start := time.Now()
	got := c.ask(q)
	if took := time.Since(start); took > patience {
		t.Errorf("took %v", took)
	}
	return got
}

func TestStaleAnswersForAnHourWhenAllUpstreamsAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &memoryUpstream{handle: alias(t)}, &memoryUpstream{handle: alias(t)}
		c := serveInMemory(t, &dnsproxy.Server{}, one, two)
		q := question(host, dns.TypeA)
		c.ask(q) // for 60 s
		one.set(silent)
		two.set(silent)
		const stale = `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr rd ra ad; QUERY: 1, ANSWER: 2, AUTHORITY: 1, ADDITIONAL: 1

;; QUESTION SECTION:
;www.contoso.com.	IN	 A

;; ANSWER SECTION:
www.contoso.com.	30	IN	CNAME	edge.fabrikam.com.
edge.fabrikam.com.	30	IN	A	192.0.2.7

;; AUTHORITY SECTION:
fabrikam.com.	30	IN	NS	ns.fabrikam.com.

;; ADDITIONAL SECTION:
ns.fabrikam.com.	30	IN	AAAA	2001:db8::53
`
		expired := time.Now().Add(time.Minute)
		for _, after := range []time.Duration{time.Second, time.Minute, 30 * time.Minute, 59 * time.Minute} {
			time.Sleep(time.Until(expired.Add(after)))
			sameText(t, within(t, c, q), stale)
			if got := c.source(); got != dnsproxy.SourceStale {
				t.Errorf("%v after it expired the answer came from %q", after, got)
			}
		}
		time.Sleep(time.Until(expired.Add(time.Hour + time.Second)))
		if got := within(t, c, q); got.Rcode != dns.RcodeServerFailure || len(got.Answer) != 0 {
			t.Errorf("after an hour: %v", got)
		}
	})
}

// A stale answer is for those who have nothing better.
func TestFreshAnswersAreBetterThanStaleOnes(t *testing.T) {
	moved := func(_ string, q *dns.Msg) []byte {
		return packed(replyTo(q, dns.RcodeSuccess, fakedns.RR(t, "www.contoso.com. 60 IN A 192.0.2.99")))
	}
	gone := func(_ string, q *dns.Msg) []byte {
		m := replyTo(q, dns.RcodeNameError)
		m.Ns = []dns.RR{fakedns.RR(t, "contoso.com. 60 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 60")}
		return packed(m)
	}
	for _, test := range []struct {
		name  string
		stale bool // is given first
		now   memoryHandler
		want  string
	}{
		{"another address", true, moved, "192.0.2.99"},
		{"no such name", true, gone, "NXDOMAIN"},
		{"the second upstream is there", false, moved, "192.0.2.99"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := &memoryUpstream{handle: replying(fakedns.RR(t, "www.contoso.com. 60 IN A 192.0.2.7"))}, &memoryUpstream{handle: silent}
				c := serveInMemory(t, &dnsproxy.Server{}, one, two)
				q := question(host, dns.TypeA)
				c.ask(q)
				one.set(silent)
				time.Sleep(2 * time.Minute)
				if test.stale {
					if got := within(t, c, q); len(got.Answer) != 1 || c.source() != dnsproxy.SourceStale {
						t.Errorf("while all are silent: %v from %q", got, c.source())
					}
				}
				two.set(test.now)
				time.Sleep(time.Minute) // longer than recovery takes
				got := within(t, c, q)
				have := dns.RcodeToString[got.Rcode]
				if len(got.Answer) == 1 {
					have = got.Answer[0].(*dns.A).A.String()
				}
				if have != test.want || c.source() != dnsproxy.SourceForwarded {
					t.Errorf("got %s from %q, want %s", have, c.source(), test.want)
				}
			})
		})
	}
}

// A stale answer is for the same question in the same way as any other.
func TestStaleAnswerHasTheClientsIDAndCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: replying(record(t))}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		c.ask(question(host, dns.TypeA))
		up.set(silent)
		time.Sleep(10 * time.Minute)
		q := question("WwW.Contoso.Com", dns.TypeA)
		q.Id = 22136
		if got := within(t, c, q); got.Id != q.Id || got.Question[0] != q.Question[0] || len(got.Answer) != 1 {
			t.Errorf("got %v", got)
		}
		q.SetEdns0(1232, true)
		if got := within(t, c, q); got.Rcode != dns.RcodeServerFailure {
			t.Errorf("with DO, which nobody has asked before: %v", got)
		}
	})
}

// What an upstream took back is not given as its answer later, although what it
// said instead is not to be kept (RFC 8767 section 4).
func TestStaleAnswersAreNotThoseTheUpstreamTookBack(t *testing.T) {
	for name, now := range map[string]memoryHandler{
		"TTL 0":                replying(fakedns.RR(t, host+". 0 IN A 192.0.2.99")),
		"NXDOMAIN without SOA": func(_ string, q *dns.Msg) []byte { return packed(replyTo(q, dns.RcodeNameError)) },
		"no data without SOA":  replying(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &memoryUpstream{handle: replying(fakedns.RR(t, host+". 60 IN A 192.0.2.7"))}
				c := serveInMemory(t, &dnsproxy.Server{}, up)
				q := question(host, dns.TypeA)
				c.ask(q)
				up.set(now)
				time.Sleep(2 * time.Minute)
				c.ask(q)
				if got := c.source(); got != dnsproxy.SourceForwarded {
					t.Errorf("what is said instead came from %q", got)
				}
				up.set(silent)
				for range 3 {
					time.Sleep(10 * time.Minute)
					if got := within(t, c, q); got.Rcode != dns.RcodeServerFailure || len(got.Answer) != 0 {
						t.Errorf("after the upstream has died: %v from %q", got, c.source())
					}
				}
			})
		})
	}
}

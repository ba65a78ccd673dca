package dnsproxy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

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

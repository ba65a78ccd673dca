package dnsproxy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
)

// It makes no difference that nothing was ever heard of an upstream.
func TestUpstreamThatIsDeadAtTheStartIsUsedWhenItIsBack(t *testing.T) {
	for _, dead := range []time.Duration{3 * time.Second, 22500 * time.Millisecond, 10 * time.Minute} {
		t.Run(dead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := &memoryUpstream{handle: silent}, &memoryUpstream{handle: replying(record(t))}
				c := serveInMemory(t, &dnsproxy.Server{CacheSize: -1}, one, two)
				start := time.Now()
				c.ask(question(host, dns.TypeA))
				time.Sleep(time.Until(start.Add(dead)))
				one.set(replying(record(t)))
				time.Sleep(5 * time.Second)
				before := one.count(host)
				start = time.Now()
				if got := c.ask(question(host, dns.TypeA)); len(got.Answer) != 1 || time.Since(start) != 0 {
					t.Errorf("after %v: %v", time.Since(start), got)
				}
				if n := one.count(host) - before; n != 1 {
					t.Errorf("the first upstream, back for 5 s, was asked %d times", n)
				}
			})
		})
	}
}

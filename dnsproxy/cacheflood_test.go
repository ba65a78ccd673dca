package dnsproxy_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// echoing answers any name with an address.
func echoing(t testing.TB) memoryHandler {
	return func(_ string, q *dns.Msg) []byte {
		return packed(replyTo(q, dns.RcodeSuccess, fakedns.RR(t, q.Question[0].Name+" 86400 IN A 192.0.2.7")))
	}
}

func TestFloodOfNamesDoesNotDriveOutThoseInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, flood, every = 256, 5000, 50
		up := &memoryUpstream{handle: echoing(t)}
		c := serveInMemory(t, &dnsproxy.Server{CacheSize: size}, up)
		var inUse []string
		for i := range 10 {
			inUse = append(inUse, fmt.Sprintf("used%d.contoso.com", i))
		}
		random := func(i int) string { return fmt.Sprintf("x%08x.contoso.com", uint32(i)*2654435761) }
		for i := range flood {
			c.ask(question(random(i), dns.TypeA))
			if i%every == 0 {
				for _, name := range inUse {
					c.ask(question(name, dns.TypeA))
				}
			}
		}
		again := 0
		for _, name := range inUse {
			again += up.count(name)
		}
		if most := 2 * len(inUse); again > most { // each may go once, before it is known to be in use
			t.Errorf("%d names in use were asked for %d times, at most %d are right", len(inUse), again, most)
		}
		// Each name of the flood is asked once more, so whatever of it is answered
		// from the cache has been there at the end of the flood.
		before := up.total()
		for i := range flood {
			c.ask(question(random(flood-1-i), dns.TypeA))
		}
		if hits := flood - (up.total() - before); hits > size || hits < size/4 {
			t.Errorf("%d of %d names were in a cache for %d", hits, flood, size)
		}
	})
}

func TestFloodOfNamesTakesNoMoreMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: echoing(t)}
		c := serveInMemory(t, &dnsproxy.Server{CacheSize: 256}, up)
		ask := func(from, to int) uint64 {
			for i := from; i < to; i++ {
				c.ask(question(fmt.Sprintf("x%d.contoso.com", i), dns.TypeA))
			}
			synctest.Wait()
			up.mu.Lock()
			up.asked = nil // the test's own memory
			up.mu.Unlock()
			c.mu.Lock()
			c.sources = nil
			c.mu.Unlock()
			runtime.GC()
			runtime.GC() // what sync.Pools hold goes with the second
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := ask(0, 2000)
		after := ask(2000, 22000)
		if growth := int64(after) - int64(before); growth > 2<<20 { // 100 bytes a name
			t.Errorf("20,000 names more took %d KiB more", growth>>10)
		}
	})
}

func TestCacheHoldsThousandsOfNamesUnlessSetOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: echoing(t)}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		for range 2 {
			for i := range 3000 {
				c.ask(question(fmt.Sprintf("x%d.contoso.com", i), dns.TypeA))
			}
		}
		if n := up.total(); n > 3100 {
			t.Errorf("3,000 names were asked for %d times", n)
		}
	})
}

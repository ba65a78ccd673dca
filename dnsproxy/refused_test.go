package dnsproxy_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// The system tells of a refusal once, whichever query of a socket it was for.
func TestQueriesToAClosedPortDoNotWait(t *testing.T) {
	// Nobody else takes a port of 127.0.0.2 once it is closed.
	closed := fakedns.StartAt(t, netip.MustParseAddrPort("127.0.0.2:0"), fakedns.Silent)
	closed.Close()
	good := fakedns.Start(t, fakedns.Answer(record(t)))
	for _, test := range []struct {
		name      string
		upstreams []netip.AddrPort
		want      int
	}{
		{"alone", upstreams(closed), dns.RcodeServerFailure},
		{"before a healthy one", upstreams(closed, good), dns.RcodeSuccess},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, &dnsproxy.Server{Upstreams: test.upstreams, CacheSize: -1})
			for round := range 5 {
				const burst = 60 // fewer than one socket takes
				conn := c.dial("udp")
				start := time.Now()
				for i := range burst {
					send(t, conn, wire(t, question(fmt.Sprintf("x%d-%d.contoso.com", round, i), dns.TypeA)))
				}
				for range burst {
					if got := parse(t, recv(t, conn)); got.Rcode != test.want {
						t.Fatalf("got %v, want %s", got, dns.RcodeToString[test.want])
					}
				}
				if took := time.Since(start); took > time.Second {
					t.Fatalf("%d queries took %v", burst, took)
				}
			}
		})
	}
}

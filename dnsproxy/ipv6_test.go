package dnsproxy_test

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// listenIPv6 is for machines that have IPv6, which in CI is every one.
func listenIPv6(t *testing.T, address string) (net.PacketConn, net.Listener) {
	t.Helper()
	probe, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skipf("this machine lacks IPv6: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	probe.Close()
	return fakedns.ListenAt(t, netip.MustParseAddrPort(address))
}

func TestUpstreamsAndListenersOnIPv6(t *testing.T) {
	for _, listen := range []string{"[::1]:0", "[::]:0", "127.0.0.1:0"} {
		t.Run(listen, func(t *testing.T) {
			pc, ln := listenIPv6(t, listen)
			whole := big(t, 2000)
			up := fakedns.StartAt(t, netip.MustParseAddrPort("[::1]:0"), func(r *fakedns.Request) {
				r.SendElsewhere(wire(t, r.Reply(dns.RcodeNameError)))
				whole(r)
			})
			c := serveOn(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)}, pc, ln)
			_, port, err := net.SplitHostPort(pc.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			asked := netip.MustParseAddrPort(listen).Addr()
			if asked.IsUnspecified() {
				asked = netip.IPv6Loopback()
			}
			c.addr = net.JoinHostPort(asked.String(), port)
			for _, network := range []string{"udp", "tcp"} {
				if got := c.ask(network, question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
					t.Errorf("%s: own name: %v", network, got)
				}
				got := c.ask(network, question(host, dns.TypeA))
				if got.Rcode != dns.RcodeSuccess || got.Truncated != (network == "udp") {
					t.Errorf("%s: %v", network, got)
				}
			}
			if got := c.ask("udp", question(host, dns.TypeA).SetEdns0(4096, false)); len(got.Answer) != 125 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestUpstreamsOfBothFamiliesStandInForEachOther(t *testing.T) {
	pc, ln := listenIPv6(t, "[::1]:0")
	pc.Close()
	ln.Close()
	gone := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	good4 := fakedns.Start(t, fakedns.Answer(record(t)))
	good6 := fakedns.StartAt(t, netip.MustParseAddrPort("[::1]:0"), fakedns.Answer(record(t)))
	refusing := fakedns.Start(t, fakedns.Rcode(dns.RcodeRefused))
	for name, ups := range map[string][]netip.AddrPort{
		"IPv6 port closed": {gone, good4.Addr},
		"IPv4 refuses":     {refusing.Addr, good6.Addr},
	} {
		c := serve(t, &dnsproxy.Server{Upstreams: ups})
		if got := c.ask("udp", question(host, dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

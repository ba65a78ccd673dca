package dnsproxy_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// TestTruncationInAllCombinations: a client gets byte by byte what the upstream
// sent last, over the network that the client's own asks for.
func TestTruncationInAllCombinations(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		for _, size := range []int{0, 512, 1232, 4096} { // 0 is no EDNS
			for _, records := range []int{1, 29, 31, 60, 80, 240, 260, 4000} {
				t.Run(fmt.Sprintf("%s, size %d, %d records", network, size, records), func(t *testing.T) {
					var mu sync.Mutex
					var sent []byte
					answer := big(t, 16*records)
					up := fakedns.Start(t, func(r *fakedns.Request) {
						if strings.HasSuffix(r.Msg.Question[0].Name, dnsproxy.Canary+".") {
							return
						}
						answer(r.Spy(func(msg []byte) {
							mu.Lock()
							defer mu.Unlock()
							sent = msg
						}))
					})
					c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
					q := question(host, dns.TypeA)
					limit := dns.MinMsgSize
					if size != 0 {
						q.SetEdns0(uint16(size), size == 4096)
						limit = size
					}
					raw := c.raw(network, wire(t, q))
					mu.Lock()
					if !sameButID(raw, sent) {
						t.Errorf("the upstream sent\n%x, the client got\n%x", sent, raw)
					}
					mu.Unlock()

					whole := 12 + 21 + 16*records // header, question, and records that point to it
					if size != 0 {
						whole += 11
					}
					cut := whole > limit
					got := parse(t, raw)
					if network == "udp" {
						if got.Truncated != cut || len(raw) > limit || !cut && len(got.Answer) != records {
							t.Errorf("TC %v, %d answers in %d bytes", got.Truncated, len(got.Answer), len(raw))
						}
					} else if got.Truncated || len(got.Answer) != records {
						t.Errorf("TC %v, %d answers in %d bytes", got.Truncated, len(got.Answer), len(raw))
					}
					want := []string{"udp"}
					if cut && network == "tcp" {
						want = append(want, "tcp")
					}
					var asked []string
					for _, seen := range forwardedTo(up) {
						asked = append(asked, seen.Network)
						if !sameButID(seen.Raw, wire(t, q)) {
							t.Errorf("the upstream was asked\n%x", seen.Raw)
						}
					}
					if !slices.Equal(asked, want) {
						t.Errorf("asked over %v, want %v", asked, want)
					}
				})
			}
		}
	}
}

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

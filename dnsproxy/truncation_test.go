package dnsproxy_test

import (
	"fmt"
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

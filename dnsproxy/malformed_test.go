package dnsproxy_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// TestMalformedPacketsHarmNobody: thousands of broken messages, half of them
// almost right, and between them questions that are answered as ever.
func TestMalformedPacketsHarmNobody(t *testing.T) {
	up := fakedns.Start(t, func(r *fakedns.Request) {
		if r.Msg != nil && len(r.Msg.Question) == 1 {
			r.SendMsg(r.Reply(dns.RcodeNameError))
		}
	})
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up), Timeout: 100 * time.Millisecond})
			random := rand.New(rand.NewPCG(4, 4))
			bad := c.dial(network)
			drain(t, bad)
			seeds := [][]byte{
				wire(t, question("sql01.corp.example", dns.TypeA).SetEdns0(1232, true)),
				wire(t, question("4.3.77.127.in-addr.arpa", dns.TypePTR)),
				wire(t, question(dnsproxy.Canary, dns.TypeTXT)),
				wire(t, question(host, dns.TypeA).SetEdns0(4096, false)),
			}
			for i := range 3000 {
				send(t, bad, broken(random, seeds[i%len(seeds)]))
				if i%100 != 0 {
					continue
				}
				start := time.Now()
				if got := c.ask("udp", question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
					t.Fatalf("after %d: %v", i, got)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("after %d: %v", i, took)
				}
			}
			if got := c.ask(network, question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
				t.Errorf("at the end: %v", got)
			}
		})
	}
}

// drain reads what comes until the test ends, and checks that all of it are
// responses.
func drain(t *testing.T, conn net.Conn) {
	var wg sync.WaitGroup
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if conn.RemoteAddr().Network() == "udp" && (n < 12 || buf[2]&0x80 == 0) {
				t.Errorf("a reply that is none: %x", buf[:n])
			}
		}
	})
}

// broken returns msg with some bytes changed, cut off, added or taken from
// elsewhere in it, or nothing but noise.
func broken(random *rand.Rand, msg []byte) []byte {
	if random.IntN(8) == 0 {
		noise := make([]byte, random.IntN(300))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		return noise
	}
	b := bytes.Clone(msg)
	for range 1 + random.IntN(4) {
		if len(b) == 0 {
			break
		}
		at := random.IntN(len(b))
		switch random.IntN(5) {
		case 0:
			b[at] = byte(random.Uint32())
		case 1:
			b[at] ^= 1 << random.IntN(8)
		case 2:
			b = b[:at]
		case 3:
			b = append(b, b[at:]...)
		case 4:
			b[at] = 0xC0 // a compression pointer
		}
	}
	return b
}

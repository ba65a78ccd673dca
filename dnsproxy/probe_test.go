package dnsproxy

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestASilentUpstreamIsAskedLastUntilAProbeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func([]byte) []byte{first: alive, second: alive}}
		p := (&Server{dial: n.dial, Upstreams: []netip.AddrPort{netip.MustParseAddrPort(first), netip.MustParseAddrPort(second)}}).proxy()
		ctx, cancel := context.WithCancel(t.Context())
		defer p.goroutines.Wait()
		defer cancel()
		p.pool.ctx = ctx
		p.goroutines.Go(func() { p.watch(ctx, p.pool.upstreams[0]) })
		ask := func(wantAsked string, wantTook time.Duration) {
			t.Helper()
			time.Sleep(socketTime) // so that the query has a socket of its own
			synctest.Wait()        // for what the probes do at this time
			n.log()
			start := time.Now()
			if _, err := p.pool.forward(t.Context(), testQuery(t), "udp"); err != nil {
				t.Error(err)
			}
			if got, took := n.log(), time.Since(start); !strings.HasPrefix(got, wantAsked) || took != wantTook {
				t.Errorf("asked %s in %v, want %s in %v", got, took, wantAsked, wantTook)
			}
		}
		ask(first, 0)
		n.set(first, dead)
		ask(first+" "+second, patience)
		ask(second, 0)
		time.Sleep(time.Minute)
		ask(second, 0)
		n.set(first, alive)
		time.Sleep(2*time.Second + probeEvery) // for a probe on its way, and the next
		ask(first, 0)
	})
}

func TestTheCanaryIsAskedUntilTheUpstreamAnswers(t *testing.T) {
	failing := func(query []byte) []byte { return parseQuery(query).serverFailure(0, "") }
	for _, test := range []struct {
		name   string
		before func([]byte) []byte
		want   int
	}{
		{"silent", dead, 3},     // at 0 s, 4 s, 10 s
		{"failing", failing, 4}, // at 0 s, 2 s, 6 s, 14 s
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{hosts: map[string]func([]byte) []byte{first: test.before}}
				s := &Server{dial: n.dial, Upstreams: []netip.AddrPort{netip.MustParseAddrPort(first)}}
				p := s.proxy()
				t.Cleanup(func() { time.Sleep(socketTime) })
				time.AfterFunc(7*time.Second, func() {
					n.mu.Lock()
					defer n.mu.Unlock()
					n.hosts[first] = func(query []byte) []byte { // a loop that comes up late
						reply, _ := p.own.answer(nil, parseQuery(query))
						return reply
					}
				})
				p.checkLoop(t.Context(), p.pool.upstreams[0])
				if !p.pool.upstreams[0].loops.Load() {
					t.Error("the loop was not seen")
				}
				if got := len(strings.Fields(n.log())); got != test.want {
					t.Errorf("asked %d times, want %d", got, test.want)
				}
			})
		})
	}
}

// An upstream that recovers while it is looked at is not overlooked.
func TestUpstreamThatRecoversIsInTheOrder(t *testing.T) {
	u := newUpstream(netip.MustParseAddrPort(first))
	p := &pool{upstreams: []*upstream{u}}
	var flipping sync.WaitGroup
	done := make(chan bool)
	flipping.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				u.silent.Store(!u.silent.Load())
			}
		}
	})
	for range 100_000 {
		if len(p.order()) != 1 {
			t.Error("there is nobody to ask")
			break
		}
	}
	close(done)
	flipping.Wait()
}

package dnsproxy

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// testPool belongs to a bubble of synctest. It waits for its sockets in the end.
func testPool(t *testing.T, n *network, addrs ...string) *pool {
	t.Cleanup(func() { time.Sleep(socketTime) })
	s := &Server{dial: n.dial}
	for _, a := range addrs {
		s.Upstreams = append(s.Upstreams, netip.MustParseAddrPort(a))
	}
	return &s.proxy().pool
}

func TestTheTimeForOneQueryIsBounded(t *testing.T) {
	for _, test := range []struct {
		name  string
		dead  []string
		asked string
		want  time.Duration
	}{
		{"one", []string{first}, first + " " + first, 4 * time.Second},
		{"two", []string{first, second}, first + " " + second, patience + 2*time.Second},
		{"three", []string{first, second, third}, first + " " + second + " " + third, 2*patience + 2*time.Second},
		{"none", nil, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{hosts: map[string]func([]byte) []byte{first: dead, second: dead, third: dead}}
				p := testPool(t, n, test.dead...)
				start := time.Now()
				_, err := p.forward(t.Context(), testQuery(t), "udp")
				if err == nil {
					t.Error("got an answer")
				}
				if took := time.Since(start); took != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
				if got := n.log(); got != test.asked {
					t.Errorf("asked %s, want %s", got, test.asked)
				}
			})
		})
	}
}

func TestALostDatagramIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := false
		n := &network{hosts: map[string]func([]byte) []byte{first: func(query []byte) []byte {
			if !lost {
				lost = true
				return nil
			}
			return alive(query)
		}}}
		start := time.Now()
		if _, err := testPool(t, n, first).forward(t.Context(), testQuery(t), "udp"); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestStraysDoNotProlongTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func([]byte) []byte{first: func(query []byte) []byte { return query }}}
		start := time.Now()
		if _, err := testPool(t, n, first).forward(t.Context(), testQuery(t), "udp"); err == nil {
			t.Error("a query was taken for a reply")
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestStoppingIsNotHeldAgainstTheUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func([]byte) []byte{first: dead}}
		p := testPool(t, n, first)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := p.forward(ctx, testQuery(t), "udp"); err == nil {
			t.Error("got an answer")
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		if p.upstreams[0].silent.Load() {
			t.Error("the upstream counts as silent")
		}
	})
}

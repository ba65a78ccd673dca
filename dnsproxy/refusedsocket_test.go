package dnsproxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A refusedConn is a UDP socket connected to a port that is closed: the system
// tells of a refusal once, here to the write after the first.
type refusedConn struct {
	net.Conn
	closed chan struct{}
	close  func()

	mu      sync.Mutex
	written int
}

func newRefusedConn() *refusedConn {
	closed := make(chan struct{})
	return &refusedConn{closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

func (c *refusedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written++
	if c.written == 2 {
		return 0, syscall.ECONNREFUSED
	}
	return len(b), nil
}

func (c *refusedConn) Read([]byte) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c *refusedConn) Close() error {
	c.close()
	return nil
}

// Whichever query of a socket a refusal is told to, the others do not wait for a
// reply that will not come.
func TestQueriesThatShareARefusedSocketDoNotWait(t *testing.T) {
	for _, test := range []struct {
		name      string
		upstreams []string
		answered  bool
	}{
		{"alone", []string{first}, false},
		{"before a healthy one", []string{first, second}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				healthy := &network{hosts: map[string]func([]byte) []byte{second: alive}}
				s := &Server{dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if address == first {
						return newRefusedConn(), nil
					}
					return healthy.dial(ctx, network, address)
				}}
				for _, a := range test.upstreams {
					s.Upstreams = append(s.Upstreams, netip.MustParseAddrPort(a))
				}
				p := &s.proxy().pool
				var asking sync.WaitGroup
				// An even number: the first write to a socket needs another to be told.
				for range 4 {
					asking.Go(func() {
						start := time.Now()
						_, err := p.forward(t.Context(), testQuery(t), "udp")
						if answered := err == nil; answered != test.answered {
							t.Errorf("answered: %v, %v", answered, err)
						}
						if took := time.Since(start); took != 0 {
							t.Errorf("took %v", took)
						}
					})
					synctest.Wait()
				}
				asking.Wait()
				time.Sleep(socketTime) // for the sockets
			})
		})
	}
}

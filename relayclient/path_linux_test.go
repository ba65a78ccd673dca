package relayclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
)

// kept keeps what it accepts.
type kept struct {
	net.Listener
	mu    sync.Mutex
	conns []*net.TCPConn
}

func (k *kept) Accept() (net.Conn, error) {
	c, err := k.Listener.Accept()
	if err == nil {
		k.mu.Lock()
		k.conns = append(k.conns, c.(*net.TCPConn))
		k.mu.Unlock()
	}
	return c, err
}

// conn is the relay's end of the client's connection from addr.
func (k *kept) conn(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		if c.RemoteAddr().String() == addr {
			return c
		}
	}
	t.Fatalf("the relay has no connection from %s", addr)
	return nil
}

// drop has the kernel drop whatever arrives at the relay's end, as a machine
// that is gone would.
func (k *kept) drop(t *testing.T, addr string) {
	t.Helper()
	raw, err := k.conn(t, addr).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVanishedRelayIsNoticed(t *testing.T) {
	for _, test := range []struct {
		name string
		send int // bytes after the relay has vanished
	}{
		{"idle", 0},
		{"with a request in flight", 8},
		{"with more in flight than buffers hold", 32 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // each waits for eleven seconds
			w := newWorld(t)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			k := &kept{Listener: ln}
			w.addr = "localhost:" + port(ln)
			serve(t, func(ctx context.Context) error { return w.relay.Serve(ctx, k) })
			w.client = &relayclient.Client{Namespace: w.addr, RootCAs: w.roots, KeepAlive: time.Second}
			w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) { defer c.Close(); io.Copy(io.Discard, c) })
			conn := w.dial(t)
			defer conn.Close()
			k.drop(t, conn.LocalAddr().String())
			began := time.Now()
			go conn.Write(make([]byte, test.send))
			_, err = conn.Read(make([]byte, 1))
			if !errors.Is(err, relayclient.ErrUnresponsive) {
				t.Errorf("got %v after %v, want %v", err, time.Since(began), relayclient.ErrUnresponsive)
			}
		})
	}
}

package dnsproxy

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// A pipeListener accepts connections of net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan bool
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestIdleAndSlowClientsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan bool)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- new(Server).Serve(ctx, nil, []net.Listener{ln}) }()
		start := time.Now()
		var gone atomic.Int64
		for i := range maxTCPClients {
			near, far := net.Pipe()
			ln.conns <- far
			go func() {
				if i%2 == 0 { // half a message, and then nothing
					near.Write([]byte{0, 99, 1})
				}
				if n, err := near.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("got %d bytes, %v", n, err)
				}
				gone.Add(1)
			}()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the first %d waited %v", maxTCPClients, took)
		}
		near, far := net.Pipe()
		ln.conns <- far // in place of the one that was silent for longest
		if err := writeMessage(near, packed(t, Canary+".", dns.TypeTXT, nil)); err != nil {
			t.Error(err)
		}
		if _, err := readMessage(near); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("one more waited %v", took)
		}
		near.Close()
		time.Sleep(tcpIdle - time.Nanosecond)
		synctest.Wait()
		if gone.Load() != 1 {
			t.Errorf("%d were sent away too early", gone.Load()-1)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if gone.Load() != maxTCPClients {
			t.Errorf("%d of %d are gone", gone.Load(), maxTCPClients)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClientThatDoesNotReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan bool)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- new(Server).Serve(ctx, nil, []net.Listener{ln}) }()
		near, far := net.Pipe()
		ln.conns <- far
		start := time.Now()
		var err error
		for err == nil {
			err = writeMessage(near, packed(t, Canary+".", dns.TypeTXT, nil))
		}
		if took := time.Since(start); took != tcpIdle {
			t.Errorf("dropped after %v, want %v", took, tcpIdle)
		}
		cancel()
		<-done
	})
}

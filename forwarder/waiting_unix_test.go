//go:build unix

package forwarder_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"hyco-sidecar/forwarder"
	"hyco-sidecar/test/memnet"
)

// announcement receives when something is written.
type announcement chan struct{}

func (a announcement) Write(p []byte) (int, error) {
	select {
	case a <- struct{}{}:
	default:
	}
	return len(p), nil
}

// TestAppsThatLeftWhileTheyWaitedAreNotDialled: behind a target that hangs, those
// that gave up are many, and the target has its turn at last.
func TestAppsThatLeftWhileTheyWaitedAreNotDialled(t *testing.T) {
	const waiting = 10
	var dials atomic.Int64
	var resets sync.Map // ports of apps that have no socket any more to ask about
	near, far := memnet.Pipe()
	defer far.Close()
	closed := make(chan forwarder.Summary, waiting+1)
	full := make(announcement, 1)
	s := &forwarder.Server{
		NewID:          func() string { return "some-id" },
		MaxConnections: 1,
		Logger:         slog.New(slog.NewTextHandler(full, &slog.HandlerOptions{Level: slog.LevelWarn})),
		AppClosed: func(app, us netip.AddrPort) (bool, error) {
			if _, ok := resets.Load(app.Port()); ok {
				return false, errors.ErrUnsupported
			}
			return true, nil
		},
		Dial: func(context.Context, forwarder.Request) (net.Conn, error) {
			dials.Add(1)
			return &tunnel{Conn: near}, nil
		},
		Hooks: forwarder.Hooks{Closed: func(s forwarder.Summary) { closed <- s }},
	}
	dial, stop := serveTCP(t, s)
	first := dial()
	write(t, far, "hello")
	if _, err := io.ReadFull(first, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	for n := range waiting {
		app := dial()
		switch n % 3 {
		case 0:
			write(t, app, "SELECT 1")
			app.SetLinger(0)
		case 1:
			resets.Store(app.LocalAddr().(*net.TCPAddr).AddrPort().Port(), true)
			app.CloseWrite()
			app.SetLinger(0)
		}
		app.Close()
	}
	<-full // that some have to wait
	first.CloseWrite()
	far.CloseWrite()
	wantCause(t, <-closed, forwarder.Closed)
	for range waiting {
		wantCause(t, <-closed, forwarder.AppGaveUp)
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials, want the first only", n)
	}
	stop()
}

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

// fountain is a remote side that sends without end, takes what it is given, and
// counts the ends of stream that reach it.
type fountain struct {
	net.Conn
	ends *atomic.Int64
	gone chan struct{}
	once sync.Once
}

func (f *fountain) Read(p []byte) (int, error)  { return f.take(p) }
func (f *fountain) Write(p []byte) (int, error) { return f.take(p) }

func (f *fountain) take(p []byte) (int, error) {
	select {
	case <-f.gone:
		return 0, net.ErrClosed
	default:
		return len(p), nil
	}
}

func (f *fountain) CloseWrite() error {
	if _, err := f.take(nil); err != nil {
		return err
	}
	f.ends.Add(1)
	return nil
}

func (f *fountain) Close() error {
	f.once.Do(func() { close(f.gone) })
	return nil
}

// TestResetDuringADownloadIsNeverAnEnd: the kernel tells of a reset once, to
// whichever direction asks first.
func TestResetDuringADownloadIsNeverAnEnd(t *testing.T) {
	const resets = 3000
	var ends atomic.Int64
	closed := make(chan forwarder.Summary, resets)
	s := &forwarder.Server{
		NewID: func() string { return "some-id" },
		Dial: func(context.Context, forwarder.Request) (net.Conn, error) {
			return &fountain{ends: &ends, gone: make(chan struct{})}, nil
		},
		Hooks: forwarder.Hooks{Closed: func(s forwarder.Summary) { closed <- s }},
	}
	dial, stop := serveTCP(t, s)
	for range resets {
		app := dial()
		app.Write(make([]byte, 3000))
		io.CopyN(io.Discard, app, 200_000)
		app.SetLinger(0)
		app.Close()
	}
	for range resets {
		if s := <-closed; s.Cause != forwarder.AppReset && s.Cause != forwarder.AppGaveUp {
			t.Errorf("a reset ended as %s", s.Cause)
		}
	}
	if n := ends.Load(); n != 0 {
		t.Errorf("%d of %d resets were passed on as ends of stream", n, resets)
	}
	stop()
}

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

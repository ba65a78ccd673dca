//go:build unix

package forwarder_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"hyco-sidecar/forwarder"
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

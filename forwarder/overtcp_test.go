package forwarder_test

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"

	"hyco-sidecar/forwarder"
)

// overTCP joins an app to remote over real sockets. finish returns the summary and
// stops the server.
func overTCP(t *testing.T, remote net.Conn, adjust ...func(*forwarder.Server)) (app *net.TCPConn, finish func() forwarder.Summary) {
	t.Helper()
	summaries := make(chan forwarder.Summary, 1)
	s := &forwarder.Server{
		NewID: func() string { return "some-id" },
		Dial:  func(context.Context, forwarder.Request) (net.Conn, error) { return remote, nil },
		Hooks: forwarder.Hooks{Closed: func(s forwarder.Summary) { summaries <- s }},
	}
	for _, adjust := range adjust {
		adjust(s)
	}
	dial, stop := serveTCP(t, s)
	return dial(), func() forwarder.Summary {
		t.Helper()
		defer stop()
		return <-summaries
	}
}

// serveTCP has s serve apps on real sockets, until stop.
func serveTCP(t *testing.T, s *forwarder.Server) (dial func() *net.TCPConn, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, forwarder.Listener{Listener: ln, Target: "api.corp.example:80"}) }()
	dial = func() *net.TCPConn {
		t.Helper()
		app, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return app.(*net.TCPConn)
	}
	return dial, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	}
}

// closedFully is a remote half that gave an answer, takes nothing any more, and
// has ended.
type closedFully struct {
	net.Conn
	answer io.Reader
}

func (c closedFully) Read(p []byte) (int, error)  { return c.answer.Read(p) }
func (c closedFully) Write(p []byte) (int, error) { return 0, syscall.EPIPE }
func (c closedFully) Close() error                { return nil }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

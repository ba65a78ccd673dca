package forwarder_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"

	"hyco-sidecar/forwarder"
	"hyco-sidecar/test/memnet"
)

// tunnel is the remote half as relayclient's Conn behaves: closed without
// CloseWrite it breaks off.
type tunnel struct {
	*memnet.Conn
	shutdown   bool // the far side said that it reads on
	mu         sync.Mutex
	closeWrite bool
}

func (t *tunnel) CloseWrite() error {
	t.mu.Lock()
	t.closeWrite = true
	t.mu.Unlock()
	return t.Conn.CloseWrite()
}

func (t *tunnel) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closeWrite {
		_ = t.SetLinger(0)
	}
	return t.Conn.Close()
}

func (t *tunnel) HalfClosed() bool { return t.shutdown }

// testbed is a server on a memory network inside a synctest bubble.
type testbed struct {
	server    forwarder.Server
	ln        *memnet.Listener
	targets   chan *memnet.Conn // far ends, in the order dialled
	shutdown  bool
	wrap      func(*tunnel) net.Conn // makes the remote halves; nil leaves them as they are
	accept    net.Listener           // what the server has of ln
	summaries chan forwarder.Summary
	traffic   forwarder.Traffic
	log       journal
	stop      context.CancelFunc
	done      chan error
}

// open connects an app and returns both far ends.
func (b *testbed) open(t *testing.T) (app, target *memnet.Conn) {
	t.Helper()
	app, err := b.ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	return app, <-b.targets
}

// finish stops the server and returns the summary of the last connection.
func (b *testbed) finish(t *testing.T) forwarder.Summary {
	t.Helper()
	s := <-b.summaries
	b.stop()
	if err := <-b.done; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	return s
}

func start(t *testing.T, adjust func(*testbed)) *testbed {
	t.Helper()
	b := &testbed{
		ln:        memnet.Listen(),
		targets:   make(chan *memnet.Conn, 16),
		summaries: make(chan forwarder.Summary, 16),
		done:      make(chan error, 1),
	}
	b.server = forwarder.Server{
		Dial: func(context.Context, forwarder.Request) (net.Conn, error) {
			near, far := memnet.Pipe()
			b.targets <- far
			remote := &tunnel{Conn: near, shutdown: b.shutdown}
			if b.wrap != nil {
				return b.wrap(remote), nil
			}
			return remote, nil
		},
		NewID:  func() string { return "some-id" },
		Logger: slog.New(slog.NewJSONHandler(&b.log, nil)),
		Hooks:  forwarder.Hooks{Closed: func(s forwarder.Summary) { b.summaries <- s }},
	}
	b.accept = b.ln
	if adjust != nil {
		adjust(b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.stop = cancel
	go func() {
		b.done <- b.server.Serve(ctx, forwarder.Listener{Listener: b.accept, Target: "sql01.corp.example:1433", Traffic: &b.traffic})
	}()
	return b
}

func wantCause(t *testing.T, got forwarder.Summary, want forwarder.Cause) {
	t.Helper()
	if got.Cause != want {
		t.Errorf("cause: got %q (%v), want %q", got.Cause, got.Err, want)
	}
}

func wantReset(t *testing.T, who string, conn io.Reader) {
	t.Helper()
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: got %v, want a reset", who, err)
	}
}

func wantAll(t *testing.T, who string, conn io.Reader, want string) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v; want %q and the end of the stream", who, got, err, want)
	}
}

func write(t *testing.T, conn io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(conn, s); err != nil {
		t.Fatalf("write %.20q: %v", s, err)
	}
}

func waitForContext(ctx context.Context, _ forwarder.Request) (net.Conn, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

package forwarder_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"hyco-sidecar/forwarder"
)

// piece is what the benchmarks write at once: less than what one read takes.
const piece = 32 << 10

// sink is a remote half that takes everything at no cost, has nothing to say, and ends
// its stream when the app does.
type sink struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func newSink() *sink { return &sink{ended: make(chan struct{})} }

func (*sink) Write(p []byte) (int, error) { return len(p), nil }

func (s *sink) Read([]byte) (int, error) {
	<-s.ended
	return 0, io.EOF
}

func (s *sink) CloseWrite() error {
	s.once.Do(func() { close(s.ended) })
	return nil
}

func (s *sink) Close() error { return s.CloseWrite() }

// source is a remote half that sends so many pieces at no cost, and ends.
type source struct {
	*sink
	left int
}

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	return piece, nil
}

// serve has a server carry apps on loopback to what dial returns, until stop.
func serve(b *testing.B, dial func() net.Conn) (connect func() *net.TCPConn, stop func()) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &forwarder.Server{
		NewID: func() string { return "some-id" },
		Dial:  func(context.Context, forwarder.Request) (net.Conn, error) { return dial(), nil },
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, forwarder.Listener{Listener: ln, Target: "api.corp.example:80"}) }()
	connect = func() *net.TCPConn {
		app, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		return app.(*net.TCPConn)
	}
	return connect, func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkPipe carries pieces of 32 KiB between an app on loopback and a remote half in
// memory: the cost of the way through, without a tunnel's.
func BenchmarkPipe(b *testing.B) {
	b.Run("up", func(b *testing.B) {
		connect, stop := serve(b, func() net.Conn { return newSink() })
		app := connect()
		data := make([]byte, piece)
		b.SetBytes(piece)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := app.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		_ = app.CloseWrite()
		if _, err := io.Copy(io.Discard, app); err != nil { // until all is carried
			b.Fatal(err)
		}
		app.Close()
		stop()
	})
	b.Run("down", func(b *testing.B) {
		connect, stop := serve(b, func() net.Conn { return &source{newSink(), b.N} })
		b.SetBytes(piece)
		b.ReportAllocs()
		app := connect()
		buf := make([]byte, piece)
		for range b.N {
			if _, err := io.ReadFull(app, buf); err != nil {
				b.Fatal(err)
			}
		}
		app.Close()
		stop()
	})
}

// BenchmarkConnection opens a connection, half-closes it, and waits for its end.
func BenchmarkConnection(b *testing.B) {
	connect, stop := serve(b, func() net.Conn { return newSink() })
	b.ReportAllocs()
	for b.Loop() {
		app := connect()
		_ = app.CloseWrite()
		if _, err := io.Copy(io.Discard, app); err != nil {
			b.Fatal(err)
		}
		app.Close()
	}
	stop()
}

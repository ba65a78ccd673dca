package relayclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

const sendKey = "c2VuZC1rZXktZm9yLXRlc3RzLW9ubHktMDEyMzQ1Njc="

// world is a relay with the hybrid connection "orders-hc" and a client of it.
type world struct {
	relay  *fakerelay.Server
	client *relayclient.Client
	addr   string
	roots  *x509.CertPool
	log    *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// newWorld returns a relay that does not serve yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	cert, roots := certificate(t)
	w := &world{
		relay: &fakerelay.Server{
			Certificate: cert,
			Entities: []fakerelay.Entity{{Path: "orders-hc", Rules: []fakerelay.Rule{
				{Name: "defaultSender", Key: sendKey, Send: true},
				{Name: "defaultListener", Key: "listen-key", Listen: true},
			}}},
		},
		roots: roots,
		log:   &logBuffer{},
	}
	return w
}

// certificate is a relay's on this machine, and who signed it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	cert, ca, err := fakerelay.NewCertificate("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return cert, roots
}

func start(t *testing.T, adjust func(*fakerelay.Server)) *world {
	t.Helper()
	w := newWorld(t)
	if adjust != nil {
		adjust(w.relay)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = "localhost:" + port(ln)
	serve(t, func(ctx context.Context) error { return w.relay.Serve(ctx, ln) })
	w.client = &relayclient.Client{
		Namespace: w.addr,
		RootCAs:   w.roots,
		Logger:    slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return w
}

func port(ln net.Listener) string { return fmt.Sprint(ln.Addr().(*net.TCPAddr).Port) }

// serve runs f until the test ends and waits for it.
func serve(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// listen starts a listener of the given personality in front of target, which
// is called with every connection and closes it.
func (w *world) listen(t *testing.T, p fakelistener.Personality, target func(*net.TCPConn), adjust ...func(*fakelistener.Listener)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var targets sync.WaitGroup
	targets.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			targets.Go(func() { target(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { ln.Close(); targets.Wait() })
	online := make(chan struct{}, 100)
	l := &fakelistener.Listener{
		ConnectionString: fakerelay.ConnectionString(w.addr, w.relay.Entities[0], w.relay.Entities[0].Rules[1]),
		RootCAs:          w.roots,
		Personality:      p,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", ln.Addr().String())
		},
		Online: func() { online <- struct{}{} },
	}
	for _, f := range adjust {
		f(l)
	}
	serve(t, l.Serve)
	<-online
}

func echo(c *net.TCPConn) {
	defer c.Close()
	io.Copy(c, c)
}

func (w *world) request() relayclient.Request {
	return relayclient.Request{Entity: "orders-hc", Tokens: relayclient.NewSASKey("defaultSender", sendKey)}
}

func (w *world) dial(t *testing.T) *relayclient.Conn {
	t.Helper()
	conn, err := w.client.Dial(t.Context(), w.request())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// fails dials and returns the error, which has to be a *DialError.
func (w *world) fails(t *testing.T, ctx context.Context, req relayclient.Request) *relayclient.DialError {
	t.Helper()
	conn, err := w.client.Dial(ctx, req)
	if err == nil {
		conn.Close()
		t.Fatal("the dial succeeded")
	}
	e, ok := errors.AsType[*relayclient.DialError](err)
	if !ok {
		t.Fatalf("got %T %v, want a *DialError", err, err)
	}
	return e
}

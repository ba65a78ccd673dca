package fakerelay_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

var (
	sendRule   = fakerelay.Rule{Name: "defaultSender", Key: "c2VuZA==", Send: true}
	listenRule = fakerelay.Rule{Name: "defaultListener", Key: "bGlzdGVu", Listen: true}
	orders     = fakerelay.Entity{Path: "orders-hc", Rules: []fakerelay.Rule{sendRule, listenRule}}
)

const audience = "http://localhost/orders-hc/"

// bench is a relay that runs, and raw clients for it.
type bench struct {
	*fakerelay.Server
	t    testing.TB
	addr string
	dial rawsender.Dialer
	stop func() // ends Serve and waits for it
}

func newBench(t testing.TB, s *fakerelay.Server) *bench {
	t.Helper()
	cert, caPEM, err := fakerelay.NewCertificate("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s.Certificate = cert
	if s.Entities == nil {
		s.Entities = []fakerelay.Entity{orders}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	b := &bench{
		Server: s, t: t, addr: ln.Addr().String(),
		dial: rawsender.Dialer{Addr: ln.Addr().String(), RootCAs: roots},
	}
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) token(rule fakerelay.Rule) http.Header {
	return http.Header{"ServiceBusAuthorization": {fakerelay.SAS(audience, rule, time.Now().Add(time.Hour))}}
}

// request sends one request with header and returns the connection and answer.
func (b *bench) request(header http.Header, target string) (*rawsender.Conn, *http.Response) {
	b.t.Helper()
	d := b.dial
	d.Header = header
	c, resp, err := d.Request(context.Background(), target)
	if err != nil {
		b.t.Fatalf("request %s: %v", target, err)
	}
	b.t.Cleanup(func() { c.TLS.Close() })
	return c, resp
}

// status is the status line of a refused request.
func (b *bench) status(header http.Header, target string) string {
	b.t.Helper()
	_, resp := b.request(header, target)
	return resp.Status
}

const (
	listenTarget  = "/$hc/orders-hc?sb-hc-action=listen&sb-hc-id=l1"
	connectTarget = "/$hc/orders-hc?sb-hc-action=connect&sb-hc-id=8a2f&tenant=7"
)

// control opens a control channel.
func (b *bench) control() *rawsender.Conn {
	b.t.Helper()
	c, resp := b.request(b.token(listenRule), listenTarget)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b.t.Fatalf("listen: %s", resp.Status)
	}
	return c
}

// connect sends a sender's request without waiting for its answer.
func (b *bench) connect() *rawsender.Conn {
	b.t.Helper()
	d := b.dial
	d.Header = b.token(sendRule)
	c, err := d.Send(context.Background(), connectTarget)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.TLS.Close() })
	return c
}

// pair returns a joined sender and listener.
func (b *bench) pair() (sender, listener *rawsender.Conn) {
	b.t.Helper()
	ctl := b.control()
	sender = b.connect()
	a := readAccept(b.t, ctl)
	listener, resp := b.request(nil, a.target())
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b.t.Fatalf("rendezvous: %s", resp.Status)
	}
	if resp, err := sender.ReadResponse(); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.t.Fatalf("connect: %v %v", resp, err)
	}
	return sender, listener
}

// eventually waits for a condition that the server reaches by itself.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(rawsender.Patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

func wantFrame(t testing.TB, c *rawsender.Conn, op ws.OpCode, fin bool, payload string) {
	t.Helper()
	h, got, err := c.ReadFrame()
	if err != nil {
		t.Fatalf("read a frame: %v, want %v %q", err, op, payload)
	}
	if h.OpCode != op || h.Fin != fin || string(got) != payload || h.Masked {
		t.Fatalf("got frame %+v %q, want op %v fin %v %q", h, short(got), op, fin, short([]byte(payload)))
	}
}

func wantClose(t testing.TB, c *rawsender.Conn, code int, reason string) {
	t.Helper()
	h, payload, err := c.ReadFrame()
	if err != nil || h.OpCode != ws.OpClose {
		t.Fatalf("got %+v %q %v, want a Close", h, short(payload), err)
	}
	gotCode, gotReason := ws.ParseCloseFrameData(payload)
	if int(gotCode) != code || gotReason != reason {
		t.Fatalf("got Close %d %q, want %d %q", gotCode, gotReason, code, reason)
	}
}

// wantGone fails if anything but the end of the connection comes, a Close
// frame above all. (A TLS end without close_notify looks the same to Go.)
func wantGone(t testing.TB, c *rawsender.Conn) {
	t.Helper()
	h, payload, err := c.ReadFrame()
	if err == nil {
		t.Fatalf("got frame %+v %q, want the end of the connection", h, short(payload))
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Fatal("the connection stays open, want its end")
	}
}

func short(b []byte) string {
	if len(b) > 60 {
		return string(b[:60]) + "…"
	}
	return string(b)
}

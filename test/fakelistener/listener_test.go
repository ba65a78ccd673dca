package fakelistener_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

var (
	sendRule   = fakerelay.Rule{Name: "defaultSender", Key: "c2VuZA==", Send: true}
	listenRule = fakerelay.Rule{Name: "defaultListener", Key: "bGlzdGVu", Listen: true}
	orders     = fakerelay.Entity{Path: "orders-hc", Rules: []fakerelay.Rule{sendRule, listenRule}}
)

// site is a relay with one listener and its target.
type site struct {
	t      *testing.T
	relay  *fakerelay.Server
	dial   rawsender.Dialer
	target chan *net.TCPConn // what the listener has dialled

	didReset chan struct{} // from targets that reset, see serveTarget
	die      func()        // ends the listener
}

func newSite(t *testing.T, l *fakelistener.Listener, s *fakerelay.Server) *site {
	t.Helper()
	cert, caPEM, err := fakerelay.NewCertificate("localhost")
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
	run(t, func(ctx context.Context) error { return s.Serve(ctx, ln) })

	private, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { private.Close() })
	target := make(chan *net.TCPConn, 10)
	go func() {
		for {
			c, err := private.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(rawsender.Patience))
			target <- c.(*net.TCPConn)
		}
	}()
	online := make(chan struct{}, 10)
	l.ConnectionString = fakerelay.ConnectionString(ln.Addr().String(), orders, listenRule)
	l.ConnectionString = strings.Replace(l.ConnectionString, "127.0.0.1", "localhost", 1)
	l.RelayAddress, l.RootCAs = ln.Addr().String(), roots
	l.Online = func() { online <- struct{}{} }
	if l.Dial == nil {
		l.Dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", private.Addr().String())
		}
	}
	listening, die := context.WithCancel(context.Background())
	run(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, die)()
		return l.Serve(listening)
	})
	<-online
	return &site{t: t, relay: s, target: target, didReset: make(chan struct{}, 10), die: die, dial: rawsender.Dialer{
		Addr: ln.Addr().String(), RootCAs: roots, Host: "localhost",
		Header: http.Header{"ServiceBusAuthorization": {fakerelay.SAS("http://localhost/orders-hc/", sendRule, time.Now().Add(time.Hour))}},
	}}
}

// run starts serve and ends it with the test, after what is started later.
func run(t *testing.T, serve func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// connect opens a connection as a sender.
func (s *site) connect() (*rawsender.Conn, *http.Response) {
	s.t.Helper()
	c, resp, err := s.dial.Request(s.t.Context(), "/$hc/orders-hc?sb-hc-action=connect&sb-hc-id=8a2f")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.TLS.Close() })
	return c, resp
}

// joined opens a connection through to the target.
func (s *site) joined() (*rawsender.Conn, *net.TCPConn) {
	s.t.Helper()
	c, resp := s.connect()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatal(resp.Status)
	}
	target := <-s.target
	s.t.Cleanup(func() { target.Close() })
	return c, target
}

// send writes one message.
func send(t *testing.T, c *rawsender.Conn, text string) {
	t.Helper()
	if err := c.WriteFrame(ws.OpBinary, true, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// wantStream fails unless text, and nothing else, is what comes next.
func wantStream(t *testing.T, c *rawsender.Conn, text string) {
	t.Helper()
	got, closed, err := c.ReadStream(len(text))
	if err != nil || closed != nil || string(got) != text {
		t.Fatalf("got %q %v %v, want %q", got, closed, err, text)
	}
}

func wantClose(t *testing.T, c *rawsender.Conn, code int, reason string) {
	t.Helper()
	got, closed, err := c.ReadStream(1)
	if err != nil || closed == nil || len(got) > 0 || *closed != (rawsender.Close{Code: code, Reason: reason}) {
		t.Fatalf("got %q %v %v, want Close %d %q", got, closed, err, code, reason)
	}
}

func wantGone(t *testing.T, c *rawsender.Conn) {
	t.Helper()
	_, closed, err := c.ReadStream(1)
	if ne, ok := errors.AsType[net.Error](err); closed != nil || err == nil || ok && ne.Timeout() {
		t.Fatalf("got %v %v, want the loss of the connection", closed, err)
	}
}

// wantBytes reads exactly text from the target's side.
func wantBytes(t *testing.T, target net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(target, got); err != nil || string(got) != text {
		t.Fatalf("the target got %q %v, want %q", got, err, text)
	}
}

// wantNothing fails if something comes within a moment, the end included.
func wantNothing(t *testing.T, target net.Conn) {
	t.Helper()
	target.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := target.Read(make([]byte, 1))
	if ne, ok := errors.AsType[net.Error](err); n != 0 || !ok || !ne.Timeout() {
		t.Fatalf("got %d bytes, %v, want silence", n, err)
	}
	target.SetReadDeadline(time.Now().Add(rawsender.Patience))
}

func wantEOF(t *testing.T, target net.Conn) {
	t.Helper()
	if n, err := target.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("got %d bytes, %v, want the end of the stream", n, err)
	}
}

func wantReset(t *testing.T, target net.Conn) {
	t.Helper()
	if _, err := target.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset by peer") {
		t.Fatalf("got %v, want a reset", err)
	}
}

func refuseDial(context.Context) (net.Conn, error) { return nil, errors.New("refused") }

func TestUnusableSettingsAreAnError(t *testing.T) {
	good := fakerelay.ConnectionString("localhost", orders, listenRule)
	for name, l := range map[string]*fakelistener.Listener{
		"no connection string": {Dial: refuseDial},
		"no entity":            {ConnectionString: strings.TrimSuffix(good, "EntityPath=orders-hc"), Dial: refuseDial},
		"no target":            {ConnectionString: good},
		"unknown personality":  {ConnectionString: good, Personality: "polite", Dial: refuseDial},
	} {
		if err := l.Serve(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRegistersAgainAfterTheChannelIsLost(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{}, &fakerelay.Server{})
	s.relay.CloseListeners("orders-hc", 1011, "InternalServerError: NameRenewalFailed")
	eventually(t, "unregistered", func() bool { return s.relay.ListenerCount("orders-hc") == 0 })
	eventually(t, "registered again", func() bool { return s.relay.ListenerCount("orders-hc") == 1 })
	c, target := s.joined()
	send(t, c, "hello")
	wantBytes(t, target, "hello")
}

// eventually waits for a condition that is reached without the test's help.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(rawsender.Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

func TestTokenIsRenewedInTime(t *testing.T) {
	// Without renewal the channel ends within 3 s: the relay's grace is 1 ms.
	s := newSite(t, &fakelistener.Listener{TokenLifetime: 2 * time.Second}, &fakerelay.Server{TokenGrace: time.Millisecond})
	past := time.After(3500 * time.Millisecond)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.relay.ListenerCount("orders-hc") != 1 {
				t.Fatal("the channel was lost")
			}
		case <-past:
			return
		}
	}
}

func TestConnectionsOutliveTheControlChannel(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{}, &fakerelay.Server{})
	c, target := s.joined()
	s.relay.CloseListeners("orders-hc", 0, "")
	eventually(t, "channel lost", func() bool { return s.relay.ListenerCount("orders-hc") == 0 })
	send(t, c, "still here")
	wantBytes(t, target, "still here")
	target.Write([]byte("me too"))
	wantStream(t, c, "me too")
}

func TestRejectIsWhatTheSenderSees(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{Personality: fakelistener.Reject}, &fakerelay.Server{})
	if _, resp := s.connect(); resp.Status != "400 Rejected by user code" {
		t.Errorf("got %q", resp.Status)
	}
	s = newSite(t, &fakelistener.Listener{Personality: fakelistener.Reject, RejectStatus: 403, RejectPhrase: "not you & yours"}, &fakerelay.Server{})
	if _, resp := s.connect(); resp.Status != "403 not you & yours" {
		t.Errorf("got %q", resp.Status)
	}
}

func TestNeverRendezvousLetsTheRelayTimeOut(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{Personality: fakelistener.NeverRendezvous}, &fakerelay.Server{AcceptTimeout: 20 * time.Millisecond})
	if _, resp := s.connect(); resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("got %q", resp.Status)
	}
}

func TestHandshakeDelay(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{HandshakeDelay: 50 * time.Millisecond}, &fakerelay.Server{})
	start := time.Now()
	s.joined()
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("the 101 came after %v", took)
	}
}

func TestKeepAlivesDoNotDisturbTheData(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{PongInterval: time.Millisecond}, &fakerelay.Server{PongInterval: time.Millisecond})
	c, target := s.joined()
	text := strings.Repeat("0123456789", 100_000)
	go func() {
		for b := range bytes.SplitSeq([]byte(text), []byte("5")) {
			target.Write(b)
		}
		target.CloseWrite()
	}()
	wantStream(t, c, strings.ReplaceAll(text, "5", ""))
}

package relayclient_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
		Endpoint: w.addr,
		RootCAs:  w.roots,
		Logger:   slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
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

func TestBytesTravelBothWaysAndEachDirectionEnds(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, echo)
	conn := w.dial(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	go func() {
		conn.Write(want)
		conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("echo: got %d bytes, %v; want %d and the end of the stream", len(got), err, len(want))
	}
	if err := conn.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestAnswerArrivesAfterOurHalfClose(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HCM, func(c *net.TCPConn) {
		defer c.Close()
		bufio.NewReader(c).ReadString('\n')

		c.Write(bytes.Repeat([]byte("x"), 1<<20))
	})
	conn := w.dial(t)
	defer conn.Close()
	io.WriteString(conn, "GET\n")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || len(got) != 1<<20 {
		t.Errorf("got %d bytes, %v; want all", len(got), err)
	}
}

func TestUploadGoesOnAfterTheirHalfClose(t *testing.T) {
	w := start(t, nil)
	received := make(chan int64, 1)
	w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) {
		defer c.Close()
		c.CloseWrite()
		n, _ := io.Copy(io.Discard, c)
		received <- n
	})
	conn := w.dial(t)
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil || !conn.HalfClosed() {
		t.Fatalf("got %v, half-closed %v; want their half-close", err, conn.HalfClosed())
	}
	if _, err := conn.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	if n := <-received; n != 10<<20 {
		t.Errorf("%d bytes arrived, want %d", n, 10<<20)
	}
}

func TestTargetThatHCMCannotReachLooksLikeAnEmptyStream(t *testing.T) {
	w := start(t, nil)
	l := &fakelistener.Listener{
		ConnectionString: fakerelay.ConnectionString(w.addr, w.relay.Entities[0], w.relay.Entities[0].Rules[1]),
		RootCAs:          w.roots,
		Dial:             func(context.Context) (net.Conn, error) { return nil, errors.New("refused") },
	}
	online := make(chan struct{}, 1)
	l.Online = func() { online <- struct{}{} }
	serve(t, l.Serve)
	<-online
	conn := w.dial(t)
	defer conn.Close()
	got, err := io.ReadAll(conn)
	if err != nil || len(got) != 0 || conn.HalfClosed() {
		t.Errorf("got %q, %v, half-closed %v; want an end that is no half-close", got, err, conn.HalfClosed())
	}
}

func TestRequestIsWhatTheRelayExpects(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, echo)
	req := w.request()
	req.ID = "5b8f3c1e-0000-4000-8000-000000000001"
	w.client.UserAgent = "hyco-sidecar/test"
	conn, err := w.client.Dial(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	got := w.relay.Connects()[0]
	if got.Entity != "orders-hc" || got.ID != req.ID {
		t.Errorf("got entity %q id %q", got.Entity, got.ID)
	}
	if len(got.Query) != 2 || got.Query.Get("sb-hc-action") != "connect" {
		t.Errorf("got query %v, want the action and the id alone", got.Query)
	}
	for header, want := range map[string]string{
		"Relay-User-Agent": "hyco-sidecar/test", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Extensions": "", "Sec-Websocket-Protocol": "", "Authorization": "",
	} {
		if value := got.Header.Get(header); value != want {
			t.Errorf("%s: got %q, want %q", header, value, want)
		}
	}
	if token := got.Header.Get("ServiceBusAuthorization"); !strings.HasPrefix(token, "SharedAccessSignature sr=http%3A%2F%2Flocalhost%2Forders-hc%2F&sig=") {
		t.Errorf("token: got %.70q…", token)
	}
}

func TestEntityNamesWithSlashes(t *testing.T) {
	c := &relayclient.Client{Endpoint: "Contoso.servicebus.windows.net:8443"}
	got := c.ConnectURL(relayclient.Request{Entity: "team a/orders-hc", ID: "x"})
	want := "wss://Contoso.servicebus.windows.net:8443/$hc/team%20a/orders-hc?sb-hc-action=connect&sb-hc-id=x"
	if got != want {
		t.Errorf("URL: got %s, want %s", got, want)
	}
	if got, want := c.Audience("team/orders-hc"), "http://contoso.servicebus.windows.net/team/orders-hc/"; got != want {
		t.Errorf("audience: got %s, want %s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name      string
		fault     fakerelay.Fault
		want      error
		temporary bool
	}{
		{"no listener", fakerelay.Fault{Status: 404, Phrase: "There are no listeners connected for the endpoint"}, relayclient.ErrNoListener, true},
		{"some other 404", fakerelay.Fault{Status: 404, Phrase: "Not Found", Bare: true}, relayclient.ErrNoListener, true},
		{"unknown entity", fakerelay.Fault{Status: 404, Phrase: "Endpoint does not exist"}, relayclient.ErrUnknownEntity, false},
		{"not accepted", fakerelay.Fault{Status: 404, Phrase: "None of the connected listeners accepted the connection(s) within the allowed timeout"}, relayclient.ErrNotAccepted, true},
		{"not accepted, 504", fakerelay.Fault{Status: 504, Phrase: "Gateway Timeout"}, relayclient.ErrNotAccepted, true},
		{"bad signature", fakerelay.Fault{Status: 401, Phrase: "The token has an invalid signature"}, relayclient.ErrUnauthorized, false},
		{"no claim", fakerelay.Fault{Status: 403, Phrase: "Forbidden", Bare: true}, relayclient.ErrUnauthorized, false},
		{"firewall", fakerelay.Fault{Status: 401, Phrase: "Generic: Ip has been prevented to connect to the endpoint"}, relayclient.ErrAddressBlocked, false},
		{"listener rejects", fakerelay.Fault{Status: 400, Phrase: "Rejected by user code", Bare: true}, relayclient.ErrListenerRejected, false},
		{"listener rejects with 401", fakerelay.Fault{Status: 401, Phrase: "Not you", Bare: true}, relayclient.ErrListenerRejected, false},
		{"throttled", fakerelay.Fault{Status: 429, Phrase: "Too many", RetryAfter: time.Hour}, relayclient.ErrUnavailable, true},
		{"busy", fakerelay.Fault{Status: 503, Phrase: "Busy"}, relayclient.ErrUnavailable, true},
		{"broken", fakerelay.Fault{Status: 500, Phrase: "Internal"}, relayclient.ErrUnavailable, true},
		{"a listener that breaks", fakerelay.Fault{Status: 502, Phrase: "The Listener's custom AcceptHandler threw an exception. See Listener logs for details"}, relayclient.ErrListenerRejected, true},
		{"a redirect", fakerelay.Fault{Status: 302, Phrase: "Found", Bare: true, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, relayclient.ErrNotRelay, false},
		{"an ordinary page", fakerelay.Fault{Status: 200, Phrase: "OK", Bare: true}, relayclient.ErrNotRelay, false},
		{"garbage", fakerelay.Fault{Garbage: []byte("SSH-2.0-OpenSSH_9.2\r\n")}, relayclient.ErrNotRelay, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := start(t, func(s *fakerelay.Server) { s.Fault = func(fakerelay.Connect) fakerelay.Fault { return test.fault } })
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // too short for a second attempt
			defer cancel()
			e := w.fails(t, ctx, w.request())
			if !errors.Is(e, test.want) || e.Temporary() != test.temporary {
				t.Errorf("got %v (temporary %v), want %v (temporary %v)", e, e.Temporary(), test.want, test.temporary)
			}
			if e.Status != test.fault.Status || e.Attempts != 1 || e.Next() == "" {
				t.Errorf("got status %d, attempts %d, next %q", e.Status, e.Attempts, e.Next())
			}
			if tracked := e.Status != 0 && !test.fault.Bare; tracked != (e.TrackingID != "") {
				t.Errorf("tracking id %q in %q", e.TrackingID, e.Phrase)
			}
			if test.fault.RetryAfter != e.RetryAfter {
				t.Errorf("RetryAfter: got %v, want %v", e.RetryAfter, test.fault.RetryAfter)
			}
		})
	}
}

func TestRealRefusalsOfTheRelay(t *testing.T) {
	w := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if e := w.fails(t, ctx, w.request()); !errors.Is(e, relayclient.ErrNoListener) || !strings.Contains(e.Error(), "no listener") {
		t.Errorf("no listener: got %v", e)
	}
	wrongKey := w.request()
	wrongKey.Tokens = relayclient.NewSASKey("defaultSender", "wrong")
	if e := w.fails(t, t.Context(), wrongKey); !errors.Is(e, relayclient.ErrUnauthorized) || e.Status != 401 {
		t.Errorf("wrong key: got %v", e)
	}
	anonymous := w.request()
	anonymous.Tokens = nil
	if e := w.fails(t, t.Context(), anonymous); !errors.Is(e, relayclient.ErrUnauthorized) {
		t.Errorf("no token: got %v", e)
	}
	listenOnly := w.request()
	listenOnly.Tokens = relayclient.NewSASKey("defaultListener", "listen-key")
	if e := w.fails(t, t.Context(), listenOnly); !errors.Is(e, relayclient.ErrUnauthorized) {
		t.Errorf("a key that may only listen: got %v", e)
	}
	unknown := w.request()
	unknown.Entity = "nowhere-hc"
	if e := w.fails(t, t.Context(), unknown); !errors.Is(e, relayclient.ErrUnknownEntity) {
		t.Errorf("unknown entity: got %v", e)
	}
	w.relay.AddEntity(fakerelay.Entity{Path: "open-hc", Anonymous: true})
	open := relayclient.Request{Entity: "open-hc"}
	ctx, cancel = context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if e := w.fails(t, ctx, open); !errors.Is(e, relayclient.ErrNoListener) {
		t.Errorf("no token where none is needed: got %v", e)
	}
}

func TestTemporaryFailuresAreRetried(t *testing.T) {
	w := start(t, func(s *fakerelay.Server) {
		s.Fault = func(c fakerelay.Connect) fakerelay.Fault {
			if c.Attempt <= 2 {
				return fakerelay.Fault{Status: 503, Phrase: "Busy"}
			}
			return fakerelay.Fault{}
		}
	})
	w.listen(t, fakelistener.HalfClose, echo)
	conn := w.dial(t)
	conn.Close()
	connects := w.relay.Connects()
	if len(connects) != 3 || connects[0].ID == "" || connects[0].ID != connects[2].ID {
		t.Errorf("got %d attempts with ids %v, want three with one", len(connects), connects)
	}
}

func TestRetryingEndsWithTheCallersTime(t *testing.T) {
	w := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	e := w.fails(t, ctx, w.request())
	if !errors.Is(e, relayclient.ErrNoListener) || e.Attempts < 2 {
		t.Errorf("got %v after %d attempts, want no listener after several", e, e.Attempts)
	}
	if ctx.Err() != nil {
		t.Error("the caller's time was used up although no attempt fitted in")
	}
}

func TestLastStopsFurtherAttempts(t *testing.T) {
	w := start(t, nil)
	last := make(chan struct{})
	close(last)
	req := w.request()
	req.Last = last
	if e := w.fails(t, t.Context(), req); e.Attempts != 1 {
		t.Errorf("got %d attempts, want 1", e.Attempts)
	}
}

func TestCancelledDialEndsAtOnce(t *testing.T) {
	w := start(t, func(s *fakerelay.Server) {
		s.Fault = func(fakerelay.Connect) fakerelay.Fault { return fakerelay.Fault{NeverAnswer: true} }
	})
	gaveUp := errors.New("the app has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(gaveUp) })
	if e := w.fails(t, ctx, w.request()); !errors.Is(e, gaveUp) || e.Stage != relayclient.StageUpgrade {
		t.Errorf("got %v at stage %s", e, e.Stage)
	}
}

func TestAttemptThatGetsNoAnswerIsMadeAgain(t *testing.T) {
	w := start(t, func(s *fakerelay.Server) {
		s.Fault = func(c fakerelay.Connect) fakerelay.Fault { return fakerelay.Fault{NeverAnswer: c.Attempt == 1} }
	})
	w.listen(t, fakelistener.HalfClose, echo)
	w.client.SetAttemptTimeout(300 * time.Millisecond)
	w.dial(t).Close()
	if got := len(w.relay.Connects()); got != 2 {
		t.Errorf("got %d attempts, want 2", got)
	}
	if !strings.Contains(w.log.String(), "no answer in time") {
		t.Errorf("the debug log does not say why:\n%s", w.log.String())
	}
}

// dialOnce makes one attempt at an endpoint that is no relay.
func dialOnce(t *testing.T, c *relayclient.Client) *relayclient.DialError {
	t.Helper()
	last := make(chan struct{})
	close(last)
	w := &world{client: c}
	req := w.request()
	req.Last = last
	return w.fails(t, t.Context(), req)
}

func TestNetworkFailuresNameTheirStage(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	w := start(t, nil)
	cert, ca, err := fakerelay.NewCertificate("other.example")
	if err != nil {
		t.Fatal(err)
	}
	other := start(t, func(s *fakerelay.Server) { s.Certificate = cert })
	other.roots.AppendCertsFromPEM(ca)
	for _, test := range []struct {
		name      string
		client    *relayclient.Client
		stage     relayclient.Stage
		temporary bool
	}{
		{"a name that does not exist", &relayclient.Client{Endpoint: "contoso.invalid"}, relayclient.StageResolve, true},
		{"a closed port", &relayclient.Client{Endpoint: closed.Addr().String()}, relayclient.StageConnect, true},
		{"an unknown authority", &relayclient.Client{Endpoint: w.addr}, relayclient.StageTLS, false},
		{"another name's certificate", other.client, relayclient.StageTLS, false},
		{"a plain server", &relayclient.Client{Endpoint: plainServer(t, "220 mail.corp.example ESMTP\r\n")}, relayclient.StageTLS, true},
		{"a server that hangs up", &relayclient.Client{Endpoint: plainServer(t, "")}, relayclient.StageTLS, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := dialOnce(t, test.client)
			if e.Stage != test.stage || e.Temporary() != test.temporary || e.Status != 0 {
				t.Errorf("got stage %s, temporary %v, status %d (%v); want %s, %v", e.Stage, e.Temporary(), e.Status, e, test.stage, test.temporary)
			}
			if !strings.Contains(e.Error(), string(test.stage)) || e.Next() == "" {
				t.Errorf("got %q, next %q", e.Error(), e.Next())
			}
		})
	}
}

// plainServer says greeting to everybody and closes.
func plainServer(t *testing.T, greeting string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, greeting)
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestSessionsAreResumed(t *testing.T) {
	var resumed atomic.Int32
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, echo)
	for range 3 {
		conn := w.dial(t)
		io.WriteString(conn, "x")
		conn.CloseWrite()
		io.ReadAll(conn)
		if conn.TLSState(t).DidResume {
			resumed.Add(1)
		}
		conn.Close()
	}
	if resumed.Load() == 0 {
		t.Error("no TLS session was resumed")
	}
}

func TestNoSecretIsShown(t *testing.T) {
	w := start(t, func(s *fakerelay.Server) {
		s.Fault = func(fakerelay.Connect) fakerelay.Fault { return fakerelay.Fault{Status: 503, Phrase: "Busy"} }
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	req := w.request()
	e := w.fails(t, ctx, req)
	key := relayclient.NewSASKey("defaultSender", sendKey)
	signature := relayclient.NewSharedAccessSignature("SharedAccessSignature sr=x&sig=topsecret&se=1&skn=k")
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "error", e, "key", key, "signature", signature, "request", req)
	log.LogAttrs(t.Context(), slog.LevelInfo, "attrs", e.LogAttrs()...)
	holder := struct {
		k *relayclient.SASKey
		s *relayclient.SharedAccessSignature
	}{key, signature}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb+verb, key, signature, req, holder, e)
		fmt.Fprintf(&out, verb+verb, *key, *signature)
	}
	out.WriteString(w.log.String())
	for _, secret := range []string{sendKey, url.QueryEscape(sendKey), fmt.Sprintf("%x", sendKey), "topsecret", "sig=", fmt.Sprintf("%x", "topsecret")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is shown in:\n%s", secret, out.String())
		}
	}
}

func TestTextFromTheNetworkFitsOneLine(t *testing.T) {
	got := relayclient.Sanitize("a\r\nb\x00c\u2028d \xff " + strings.Repeat("é", 1000))
	if strings.ContainsAny(got, "\r\n\x00\u2028") || len(got) > 310 || !strings.HasPrefix(got, "a  b c d ?") {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}

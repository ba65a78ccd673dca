package relayclient_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakerelay"
)

// ahead is a relay whose clock is d ahead of this machine's.
func ahead(d time.Duration) func(*fakerelay.Server) {
	return func(s *fakerelay.Server) {
		s.Clock = func() time.Time { return time.Now().Add(d) }
	}
}

// near reports whether two offsets are the same to what a Date can tell, and to
// what a busy machine adds.
func near(a, b time.Duration) bool { return (a - b).Abs() < 10*time.Second }

func TestClockIsComparedWithTheRelays(t *testing.T) {
	for _, d := range []time.Duration{-2 * time.Hour, 0, time.Hour} {
		w := start(t, ahead(d))
		offset, err := w.client.Clock(t.Context())
		if err != nil || !near(offset, -d) {
			t.Errorf("relay %v ahead: got %v, %v; want %v", d, offset, err, -d)
		}
		if len(w.relay.Connects()) != 0 {
			t.Error("the relay was asked for a hybrid connection")
		}
	}
}

func TestClockSaysHowFarTheWayLeads(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	w := start(t, nil)
	silent := plainListener(t)
	impatient := &relayclient.Client{Namespace: silent}
	impatient.SetAttemptTimeout(200 * time.Millisecond)
	expectClockError(t, &relayclient.Client{Namespace: "contoso.invalid"}, relayclient.StageResolve, "relay_name_unknown")
	expectClockError(t, &relayclient.Client{Namespace: closed.Addr().String()}, relayclient.StageConnect, "relay_unreachable")
	expectClockError(t, &relayclient.Client{Namespace: w.addr}, relayclient.StageTLS, "tls_untrusted")
	expectClockError(t, &relayclient.Client{Namespace: plainServer(t, "220 mail\r\n")}, relayclient.StageTLS, "tls_failed")
	expectClockError(t, impatient, relayclient.StageTLS, "tls_failed")
}

// plainListener takes connections, in the kernel, and says nothing.
func plainListener(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

func expectClockError(t *testing.T, c *relayclient.Client, stage relayclient.Stage, reason string) {
	t.Helper()
	_, err := c.Clock(t.Context())
	e, ok := errors.AsType[*relayclient.DialError](err)
	if !ok || e.Stage != stage || e.Reason() != reason || strings.Contains(e.Error(), "hybrid connection") {
		t.Errorf("%s: got %v, want %s at stage %s", c.Namespace, err, reason, stage)
	}
}

func TestRefusedTokensAreToldApart(t *testing.T) {
	key := relayclient.NewSASKey("defaultSender", sendKey)
	signature := func(audience, key string, until time.Duration) relayclient.TokenSource {
		return relayclient.NewSharedAccessSignature(fakerelay.SAS(audience, fakerelay.Rule{Name: "defaultSender", Key: key}, time.Now().Add(until)))
	}
	const audience = "http://localhost/orders-hc/"
	for _, test := range []struct {
		name   string
		ahead  time.Duration // of the relay's clock
		tokens relayclient.TokenSource
		reason string
		token  relayclient.TokenKind
	}{
		{"a wrong key", 0, relayclient.NewSASKey("defaultSender", "wrong"), "unauthorized", relayclient.SignedToken},
		{"a wrong key and a wrong clock", 2 * time.Hour, relayclient.NewSASKey("defaultSender", "wrong"), "unauthorized", relayclient.SignedToken},
		{"a key that may only listen", 0, relayclient.NewSASKey("defaultListener", "listen-key"), "unauthorized", relayclient.SignedToken},
		{"no token", 0, nil, "unauthorized", relayclient.NoToken},
		{"an expired token", 0, signature(audience, sendKey, -time.Minute), "token_expired", relayclient.ReadyMadeToken},
		{"an expired token and a wrong clock", 2 * time.Hour, signature(audience, sendKey, time.Hour), "token_expired", relayclient.ReadyMadeToken},
		{"another's token", 0, signature("http://localhost/stock-hc/", sendKey, time.Hour), "wrong_audience", relayclient.ReadyMadeToken},
		{"a clock an hour behind", time.Hour, key, "clock_wrong", relayclient.SignedToken},
		{"a clock two hours behind", 2 * time.Hour, key, "clock_wrong", relayclient.SignedToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := start(t, ahead(test.ahead))
			req := w.request()
			req.Tokens = test.tokens
			e := w.fails(t, t.Context(), req)
			if e.Reason() != test.reason || e.Token != test.token || !near(e.ClockOffset, -test.ahead) {
				t.Errorf("got %s, token %d, offset %v; want %s, %d, %v", e.Reason(), e.Token, e.ClockOffset, test.reason, test.token, -test.ahead)
			}
		})
	}
}

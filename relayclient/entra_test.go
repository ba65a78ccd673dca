package relayclient_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// bearer presents a token of Entra ID.
type bearer string

func (b bearer) Token(context.Context, string) (string, error) { return string(b), nil }

func TestATokenOfEntraIDIsPresentedBare(t *testing.T) {
	const token = "eyJhbGciOiJub25lIn0.e30."
	w := start(t, func(s *fakerelay.Server) {
		s.Bearer = func(presented string) bool { return presented == token }
	})
	w.listen(t, fakelistener.HalfClose, func(target *net.TCPConn) { target.Close() })
	req := w.request()
	req.Tokens = bearer(token)
	conn, err := w.client.Dial(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestARefusedTokenOfEntraIDIsKnownAsSuch(t *testing.T) {
	for name, d := range map[string]time.Duration{"clocks agree": 0, "a clock two hours behind": 2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := start(t, ahead(d))
			req := w.request()
			req.Tokens = bearer("eyJhbGciOiJub25lIn0.e30.")
			e := w.fails(t, t.Context(), req)
			if e.Reason() != "unauthorized" || e.Token != relayclient.BearerToken {
				t.Errorf("got %s, token %d", e.Reason(), e.Token)
			}
			if strings.Contains(e.Error(), "eyJ") {
				t.Errorf("the error shows the token: %v", e)
			}
			_, err := w.client.Describe(t.Context(), req)
			if asked, _ := errors.AsType[*relayclient.DialError](err); asked == nil || asked.Reason() != e.Reason() || asked.Token != e.Token {
				t.Errorf("asked for the endpoint: %v, want the same facts", asked)
			}
		})
	}
}

// noToken is a source that gives none, and its own error.
type noToken struct{}

func (noToken) Token(context.Context, string) (string, error) { return "", noToken{} }
func (noToken) Error() string                                 { return "Entra ID is away" }

func TestASourcesErrorIsKept(t *testing.T) {
	w := start(t, nil)
	req := w.request()
	req.Tokens = noToken{}
	e := w.fails(t, t.Context(), req)
	if e.Stage != relayclient.StageToken || e.Reason() != "token_failed" || !errors.Is(e, noToken{}) || e.Attempts != 1 {
		t.Errorf("got %v at stage %s after %d attempts", e, e.Stage, e.Attempts)
	}
}

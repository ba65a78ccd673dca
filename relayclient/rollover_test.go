package relayclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

const newKey = "bmV3LWtleS1mb3ItdGVzdHMtb25seS0wMTIzNDU2Nzg="

// accept makes the relay take only key of the sender's rule.
func (w *world) accept(key string) {
	e := w.relay.Entities[0]
	e.Rules = append([]fakerelay.Rule{{Name: "defaultSender", Key: key, Send: true}}, e.Rules[1:]...)
	w.relay.AddEntity(e)
}

// turns is what the hooks of a Rollover were told.
type turns struct {
	mu    sync.Mutex
	lines []string
}

func (u *turns) hooks() relayclient.RolloverHooks {
	note := func(what string) func(int, *relayclient.DialError) {
		return func(credential int, why *relayclient.DialError) {
			u.mu.Lock()
			defer u.mu.Unlock()
			line := fmt.Sprint(what, " ", credential)
			if why != nil {
				line += " " + why.Reason()
			}
			u.lines = append(u.lines, line)
		}
	}
	return relayclient.RolloverHooks{Refused: note("refused"), Using: note("using")}
}

func (u *turns) want(t *testing.T, want ...string) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if got := strings.Join(u.lines, ", "); got != strings.Join(want, ", ") {
		t.Errorf("got %s\nwant %s", got, strings.Join(want, ", "))
	}
	u.lines = nil
}

func (w *world) dialWith(t *testing.T, tokens relayclient.TokenSource) error {
	t.Helper()
	conn, err := w.client.Dial(t.Context(), relayclient.Request{Entity: "orders-hc", Tokens: tokens})
	if err == nil {
		conn.Close()
	}
	return err
}

func TestRefusedKeyIsFollowedByTheOther(t *testing.T) {
	for _, warm := range []int{0, 1} {
		t.Run(fmt.Sprint("warm ", warm), func(t *testing.T) {
			w := start(t, nil)
			w.client.WarmConnections = warm
			defer w.client.Close()
			w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) { c.Close() })
			var told turns
			tokens := relayclient.NewRollover(relayclient.NewSASKey("defaultSender", sendKey), relayclient.NewSASKey("defaultSender", newKey))
			tokens.Hooks = told.hooks()
			for _, step := range []struct {
				key  string
				want []string
			}{
				{sendKey, nil},
				{newKey, []string{"refused 0 unauthorized", "using 1 unauthorized"}},
				{newKey, nil}, // it is remembered
				{sendKey, []string{"refused 1 unauthorized", "using 0 unauthorized"}},
			} {
				w.accept(step.key)
				if err := w.dialWith(t, tokens); err != nil {
					t.Fatal(err)
				}
				told.want(t, step.want...)
			}
			w.accept("neither")
			failed, _ := errors.AsType[*relayclient.DialError](w.dialWith(t, tokens))
			if failed == nil || failed.Reason() != "unauthorized" || !failed.AllRefused || failed.Attempts != 2 {
				t.Errorf("got %+v", failed)
			}
			told.want(t, "refused 0 unauthorized", "refused 1 unauthorized")
		})
	}
}

func TestCrowdThatIsRefusedTurnsOnce(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) { c.Close() })
	w.accept(newKey)
	used := make(chan int, 100)
	tokens := relayclient.NewRollover(relayclient.NewSASKey("defaultSender", sendKey), relayclient.NewSASKey("defaultSender", newKey))
	tokens.Hooks.Using = func(credential int, _ *relayclient.DialError) { used <- credential }
	var crowd sync.WaitGroup
	for range 50 {
		crowd.Go(func() {
			if err := w.dialWith(t, tokens); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	if len(used) != 1 || <-used != 1 || tokens.Using() != 1 {
		t.Errorf("the crowd turned %d times", len(used))
	}
}

func TestListenerThatIsAwaySaysThatAKeyIsGood(t *testing.T) {
	w := start(t, func(r *fakerelay.Server) { r.Entities[0].Rules[0].Key = newKey })
	tokens := relayclient.NewRollover(relayclient.NewSASKey("defaultSender", sendKey), relayclient.NewSASKey("defaultSender", newKey))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := w.client.Dial(ctx, relayclient.Request{Entity: "orders-hc", Tokens: tokens})
	if !errors.Is(err, relayclient.ErrNoListener) || tokens.Using() != 1 {
		t.Errorf("got %v with credential %d", err, tokens.Using())
	}
}

// broken gives no token.
type broken struct{}

func (*broken) Token(context.Context, string) (string, error) { return "", errors.New("no identity") }

func TestSourceThatGivesNoTokenIsFollowedByTheOther(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) { c.Close() })
	var told turns
	tokens := relayclient.NewRollover(&broken{}, relayclient.NewSASKey("defaultSender", sendKey))
	tokens.Hooks = told.hooks()
	if err := w.dialWith(t, tokens); err != nil {
		t.Fatal(err)
	}
	told.want(t, "refused 0 token_failed", "using 1 token_failed")
}

func TestWhereNeitherWorksTheFirstSaysWhy(t *testing.T) {
	w := start(t, func(r *fakerelay.Server) { r.Entities[0].Rules[0].Key = "neither" })
	expired := fakerelay.SAS("http://"+w.client.Namespace+"/orders-hc/", fakerelay.Rule{Name: "defaultSender", Key: "neither"}, time.Now().Add(-time.Hour))
	key := relayclient.NewSASKey("defaultSender", sendKey)
	for _, test := range []struct {
		first  relayclient.TokenSource
		reason string
	}{
		{&broken{}, "token_failed"},
		{relayclient.NewSharedAccessSignature(expired), "token_expired"},
		{relayclient.NewSASKey("defaultSender", newKey), "unauthorized"},
	} {
		failed, _ := errors.AsType[*relayclient.DialError](w.dialWith(t, relayclient.NewRollover(test.first, key)))
		if failed == nil || failed.Reason() != test.reason || !failed.AllRefused || failed.Attempts != 2 {
			t.Errorf("%s: got %+v", test.reason, failed)
		}
	}
}

func TestReplacedKeyIsTriedAtOnce(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) { c.Close() })
	second := relayclient.NewSASKey("defaultSender", sendKey)
	tokens := relayclient.NewRollover(relayclient.NewSASKey("defaultSender", "revoked"), second)
	if err := w.dialWith(t, tokens); err != nil || tokens.Using() != 1 {
		t.Fatal(err, tokens.Using())
	}
	w.accept(newKey)
	tokens.Replace(relayclient.NewSASKey("defaultSender", newKey), second)
	var told turns
	tokens.Hooks = told.hooks()
	if err := w.dialWith(t, tokens); err != nil {
		t.Fatal(err)
	}
	told.want(t, "using 0")

	// Whoever is told of a refusal may replace the key in time for the same dial.
	w.accept("newest")
	tokens.Hooks.Refused = func(int, *relayclient.DialError) {
		tokens.Replace(relayclient.NewSASKey("defaultSender", "newest"))
	}
	if err := w.dialWith(t, tokens); err != nil {
		t.Error(err)
	}
}

func TestFirstKeyIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told turns
		first, second := relayclient.NewSASKey("a", "first"), relayclient.NewSASKey("a", "second")
		r := relayclient.NewRollover(first, second)
		r.Hooks = told.hooks()
		presented := func(good ...relayclient.TokenSource) string { return relayclient.Present(r, good...) }
		if got := presented(second); got != "0 1" {
			t.Errorf("got %s", got)
		}
		for range 39 { // four minutes less a second
			time.Sleep(6 * time.Second)
			if got := presented(second); got != "1" {
				t.Errorf("got %s", got)
			}
		}
		time.Sleep(2*time.Minute + 7*time.Second)
		if got := presented(second); got != "0 1" {
			t.Errorf("after six minutes: got %s", got)
		}
		if got := presented(second); got != "1" {
			t.Errorf("again at once: got %s", got)
		}
		told.want(t, "refused 0 unauthorized", "using 1 unauthorized", "refused 0 unauthorized")
		time.Sleep(6 * time.Minute)
		if got := presented(first, second); got != "0" {
			t.Errorf("got %s", got)
		}
		if got := presented(first, second); got != "0" {
			t.Errorf("got %s", got)
		}
		told.want(t, "using 0")
	})
}

// silent is a source that gives no token as long as anybody waits.
type silent struct{}

func (*silent) Token(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", context.Cause(ctx)
}

func TestASourceThatSaysNothingLeavesTimeForTheOther(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) { c.Close() })
	tokens := relayclient.NewRollover(&silent{}, relayclient.NewSASKey("defaultSender", sendKey))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	conn, err := w.client.Dial(ctx, relayclient.Request{Entity: "orders-hc", Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if tokens.Using() != 1 {
		t.Error("what worked is not remembered")
	}
}

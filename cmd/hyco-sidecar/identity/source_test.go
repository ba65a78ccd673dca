package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// endpoint is an azcore.TokenCredential whose tokens are token-1, token-2 and so
// on, or whatever answer says.
type endpoint struct {
	life, refreshIn time.Duration

	mu     sync.Mutex
	asked  int
	answer func(ctx context.Context) error // nil: a token
}

var errSecret = errors.New("POST https://login.example: {\"access_token\": \"eyJ.secret\"}")

func (e *endpoint) GetToken(ctx context.Context, request policy.TokenRequestOptions) (azcore.AccessToken, error) {
	e.mu.Lock()
	e.asked++
	n, answer := e.asked, e.answer
	e.mu.Unlock()
	if want := "https://relay.azure.net/.default"; len(request.Scopes) != 1 || request.Scopes[0] != want {
		return azcore.AccessToken{}, fmt.Errorf("scopes %q", request.Scopes)
	}
	if answer != nil {
		if err := answer(ctx); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	token := azcore.AccessToken{Token: fmt.Sprint("token-", n), ExpiresOn: time.Now().Add(e.life)}
	if e.refreshIn > 0 {
		token.RefreshOn = time.Now().Add(e.refreshIn)
	}
	return token, nil
}

func (e *endpoint) become(answer func(context.Context) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func down(context.Context) error { return &Failure{Problem: Busy, text: "Entra ID is away"} }

// stalled answers when nobody waits any more.
func stalled(ctx context.Context) error {
	<-ctx.Done()
	return &Failure{Problem: Unreachable, text: "Entra ID does not answer"}
}

// bubble runs a test of a started Source on virtual time.
func bubble(t *testing.T, e *endpoint, test func(t *testing.T, s *Source, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newSource(e, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer s.Close()
		s.Start()
		synctest.Wait()
		test(t, s, &log)
	})
}

// want asks for a token, which has to come at once.
func want(t *testing.T, s *Source, token string) {
	t.Helper()
	began := time.Now()
	got, err := s.Token(t.Context(), "http://contoso.servicebus.windows.net/orders-hc/")
	if got != token || err != nil || time.Since(began) != 0 {
		t.Errorf("Token: %q, %v after %v, want %q at once", got, err, time.Since(began), token)
	}
}

func TestATokenIsThereBeforeTheFirstConnection(t *testing.T) {
	e := &endpoint{life: time.Hour}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		if e.count() != 1 {
			t.Errorf("asked %d times, want once", e.count())
		}
		want(t, s, "token-1")
		if expires, ok := s.Expiry(); !ok || time.Until(expires) != time.Hour {
			t.Errorf("Expiry: %v, %v, want in an hour", expires, ok)
		}
	})
}

func TestATokenIsRefreshedWhileAFifthOfItIsLeft(t *testing.T) {
	e := &endpoint{life: time.Hour}
	bubble(t, e, func(t *testing.T, s *Source, log *bytes.Buffer) {
		time.Sleep(48*time.Minute - time.Second)
		synctest.Wait()
		want(t, s, "token-1")
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, s, "token-2")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		want(t, s, "token-32") // one every 48 minutes
		if log.Len() > 0 {
			t.Errorf("logged: %s", log)
		}
	})
}

func TestTheTimeThatComesWithATokenIsKept(t *testing.T) {
	e := &endpoint{life: 24 * time.Hour, refreshIn: 12 * time.Hour}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		time.Sleep(12*time.Hour - time.Second)
		synctest.Wait()
		want(t, s, "token-1")
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, s, "token-2")
	})
}

func TestAnOutageHurtsNobodyWhileTheTokenIsGood(t *testing.T) {
	for name, outage := range map[string]func(context.Context) error{"down": down, "stalled": stalled} {
		t.Run(name, func(t *testing.T) {
			e := &endpoint{life: time.Hour}
			bubble(t, e, func(t *testing.T, s *Source, log *bytes.Buffer) {
				e.become(outage)
				for range 59 {
					time.Sleep(time.Minute)
					want(t, s, "token-1")
				}
				if got := strings.Count(log.String(), "\n"); got != 1 {
					t.Errorf("%d lines, want one: %s", got, log)
				}
				for _, part := range []string{`level=WARN msg="no new Entra ID token, the old one is still valid" until=2000-01-01T01:00:00.000Z`, `error="Entra ID `} {
					if !strings.Contains(log.String(), part) {
						t.Errorf("the log lacks %q: %s", part, log)
					}
				}
				// Twelve minutes of pauses that double from a second to a minute.
				if asked := e.count(); asked < 12 || asked > 35 {
					t.Errorf("asked %d times", asked)
				}
				e.become(nil)
				time.Sleep(maxPause + fetchTimeout)
				synctest.Wait()
				want(t, s, fmt.Sprint("token-", e.count()))
				if !strings.Contains(log.String(), `level=INFO msg="Entra ID gives tokens again"`) {
					t.Errorf("nothing about the end of it: %s", log)
				}
			})
		})
	}
}

func TestAnOutageBeyondTheTokensEndIsTold(t *testing.T) {
	e := &endpoint{life: time.Hour}
	bubble(t, e, func(t *testing.T, s *Source, log *bytes.Buffer) {
		e.become(stalled)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		log.Reset()
		began := time.Now()
		token, err := s.Token(t.Context(), "")
		if took := time.Since(began); token != "" || err == nil || err.Error() != "Entra ID does not answer" || took > fetchTimeout {
			t.Errorf("Token: %q, %v after %v", token, err, took)
		}
		if f, ok := errors.AsType[*Failure](err); !ok || f.Problem != Unreachable {
			t.Errorf("%#v does not say what is wrong", err)
		}
		if _, ok := s.Expiry(); ok {
			t.Error("Expiry knows a token")
		}
		if log.Len() > 0 {
			t.Errorf("the connections say it, and the log as well: %s", log)
		}
		e.become(nil)
		time.Sleep(firstPause)
		if token, err := s.Token(t.Context(), ""); token == "" || err != nil {
			t.Errorf("Token after the outage: %q, %v", token, err)
		}
	})
}

func TestAConnectionDoesNotWaitForTheNextTry(t *testing.T) {
	e := &endpoint{life: time.Hour, answer: down}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		time.Sleep(10 * time.Minute) // the pauses are a minute by now
		synctest.Wait()
		e.become(nil)
		time.Sleep(firstPause)
		began := time.Now()
		if token, err := s.Token(t.Context(), ""); err != nil || time.Since(began) != 0 {
			t.Errorf("Token: %q, %v after %v, want one at once", token, err, time.Since(began))
		}
	})
}

func TestManyWaitForOneToken(t *testing.T) {
	e := &endpoint{life: time.Hour, answer: func(context.Context) error { time.Sleep(time.Second); return nil }}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		began := time.Now()
		var waiting sync.WaitGroup
		for range 1000 {
			waiting.Go(func() {
				if token, err := s.Token(t.Context(), ""); token != "token-1" || err != nil {
					t.Errorf("Token: %q, %v", token, err)
				}
			})
		}
		waiting.Wait()
		if took := time.Since(began); e.count() != 1 || took != time.Second {
			t.Errorf("asked %d times in %v, want once in a second", e.count(), took)
		}
	})
}

func TestAStormDoesNotReachTheEndpoint(t *testing.T) {
	e := &endpoint{life: time.Hour, answer: down}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		for range 500 { // 50 a second
			time.Sleep(20 * time.Millisecond)
			if token, err := s.Token(t.Context(), ""); err == nil {
				t.Fatalf("Token: %q", token)
			}
		}
		if asked := e.count(); asked > 20 {
			t.Errorf("asked %d times in ten seconds", asked)
		}
	})
}

func TestWhoeverGivesUpWaitsNoLonger(t *testing.T) {
	e := &endpoint{life: time.Hour, answer: stalled}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		reason := errors.New("the app has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(reason) })
		began := time.Now()
		if _, err := s.Token(ctx, ""); !errors.Is(err, reason) || time.Since(began) != time.Second {
			t.Errorf("Token: %v after %v", err, time.Since(began))
		}
	})
}

func TestCloseEndsAFetch(t *testing.T) {
	e := &endpoint{life: time.Hour, answer: stalled}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if token, err := s.Token(t.Context(), ""); err == nil {
				t.Errorf("Token of a closed source: %q", token)
			}
		})
		synctest.Wait()
		began := time.Now()
		s.Close()
		waiting.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if token, err := s.Token(t.Context(), ""); err == nil {
			t.Errorf("Token afterwards: %q", token)
		}
		if got := s.TokenStats(); got.Failed != 0 {
			t.Errorf("an end that was asked for counts as failure: %+v", got)
		}
	})
}

func TestCloseWithoutStart(t *testing.T) {
	e := &endpoint{life: time.Hour}
	s := newSource(e, Options{})
	s.Close()
	if _, err := s.Token(t.Context(), ""); err == nil || e.count() != 0 {
		t.Errorf("Token: %v, asked %d times", err, e.count())
	}
}

func TestAnExpiredTokenIsNotPresented(t *testing.T) {
	e := &endpoint{life: -time.Minute}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		_, err := s.Token(t.Context(), "")
		if f, ok := errors.AsType[*Failure](err); !ok || f.Problem != Expired {
			t.Errorf("Token: %v", err)
		}
	})
}

func TestForeignErrorsAreNotRepeated(t *testing.T) {
	e := &endpoint{answer: func(context.Context) error { return errSecret }}
	bubble(t, e, func(t *testing.T, s *Source, log *bytes.Buffer) {
		_, err := s.Token(t.Context(), "")
		if err == nil || strings.Contains(err.Error(), "eyJ") || strings.Contains(log.String(), "eyJ") {
			t.Errorf("error %v, log %s", err, log)
		}
	})
}

func TestNoVerbShowsTheToken(t *testing.T) {
	bubble(t, &endpoint{life: time.Hour}, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("source", "source", s)
		for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s), log.String()} {
			if strings.Contains(shown, "token-1") || !strings.Contains(shown, "Entra ID") {
				t.Errorf("shown as %s", shown)
			}
		}
	})
}

func TestAPanicIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan any, 1)
		e := &endpoint{answer: func(context.Context) error { panic("provoked") }}
		s := newSource(e, Options{Guard: func(f func()) func() {
			return func() {
				defer func() {
					if v := recover(); strings.Contains(string(debug.Stack()), "keepFresh") {
						told <- v
					}
				}()
				f()
			}
		}})
		defer s.Close()
		s.Start()
		if got := <-told; got != "provoked" {
			t.Errorf("told of %v", got)
		}
	})
}

func TestTokensAreCounted(t *testing.T) {
	e := &endpoint{life: time.Hour}
	bubble(t, e, func(t *testing.T, s *Source, _ *bytes.Buffer) {
		e.become(down)
		time.Sleep(48*time.Minute + 100*time.Millisecond)
		synctest.Wait()
		expires, _ := s.Expiry()
		if got, want := s.TokenStats(), (TokenStats{"https://relay.azure.net", expires, 1, 1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

package forwarder_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

func TestFailedDialResetsTheAppAndNamesTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) {
			b.server.Dial = func(context.Context, forwarder.Request) (net.Conn, error) {
				return nil, refusal{errors.New("no listener is connected")}
			}
		})
		app, _ := b.ln.Dial()
		wantReset(t, "app", app)
		s := b.finish(t)
		wantCause(t, s, forwarder.DialFailed)
		for _, want := range []string{`"endpoint":"sql01.corp.example:1433"`, `"id":"some-id"`, `"cause":"dial_failed"`,
			`"error":"no listener is connected"`, `"status":404`, `"level":"WARN"`} {
			if !strings.Contains(b.log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, b.log.String())
			}
		}
	})
}

type refusal struct{ error }

func (refusal) LogAttrs() []slog.Attr { return []slog.Attr{slog.Int("status", 404)} }

func TestDialIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) {
			b.server.DialTimeout = 7 * time.Second
			b.server.Dial = waitForContext
		})
		began := time.Now()
		app, _ := b.ln.Dial()
		wantReset(t, "app", app)
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("reset after %v, want 7s", took)
		}
		wantCause(t, b.finish(t), forwarder.DialFailed)
	})
}

func TestAppThatResetsCancelsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.Dial = waitForContext })
		app, _ := b.ln.Dial()
		write(t, app, "hello?")
		time.Sleep(time.Second)
		app.SetLinger(0)
		app.Close()
		s := b.finish(t)
		wantCause(t, s, forwarder.AppGaveUp)
		if s.Took != time.Second {
			t.Errorf("ended after %v, want 1s", s.Took)
		}
	})
}

// TestAppThatResetsAfterItSentMuchCancelsTheDial: what it sent is more than anybody
// reads ahead.
func TestAppThatResetsAfterItSentMuchCancelsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.Dial = waitForContext })
		app, _ := b.ln.Dial()
		write(t, app, strings.Repeat("u", 100_000))
		time.Sleep(5 * time.Second)
		app.SetLinger(0)
		app.Close()
		began := time.Now()
		wantCause(t, b.finish(t), forwarder.AppGaveUp)
		if took := time.Since(began); took > time.Second {
			t.Errorf("noticed after %v, want 1s at most", took)
		}
	})
}

// An app that gave up did so for a reason, where attempts had failed until then.
func TestAppThatGivesUpIsToldOfWithWhatWentWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noListener := errors.New("no listener")
		b := start(t, func(b *testbed) {
			b.server.Dial = func(ctx context.Context, r forwarder.Request) (net.Conn, error) {
				<-ctx.Done()
				return nil, noListener
			}
		})
		app, _ := b.ln.Dial()
		time.Sleep(time.Second)
		app.SetLinger(0)
		app.Close()
		s := b.finish(t)
		wantCause(t, s, forwarder.AppGaveUp)
		if !errors.Is(s.Err, noListener) {
			t.Errorf("got %v, want %v", s.Err, noListener)
		}
	})
}

func TestAppThatEndsWithoutAByteStopsFurtherAttemptsOnly(t *testing.T) {
	for _, succeeds := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, func(b *testbed) {
				inner := b.server.Dial
				b.server.Dial = func(ctx context.Context, r forwarder.Request) (net.Conn, error) {
					<-r.NoRetry
					time.Sleep(time.Second) // the attempt in progress
					if err := ctx.Err(); err != nil {
						t.Errorf("the attempt in progress was cancelled: %v", err)
					}
					if !succeeds {
						return nil, errors.New("no listener")
					}
					return inner(ctx, r)
				}
			})
			app, _ := b.ln.Dial()
			app.CloseWrite()
			if !succeeds {
				wantReset(t, "app", app)
				wantCause(t, b.finish(t), forwarder.AppGaveUp)
				return
			}
			target := <-b.targets
			wantAll(t, "target", target, "")
			write(t, target, "banner")
			target.CloseWrite()
			wantAll(t, "app", app, "banner")
			wantCause(t, b.finish(t), forwarder.Closed)
		})
	}
}

func TestWhatTheAppSentDuringTheDialArrivesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) {
			inner := b.server.Dial
			b.server.Dial = func(ctx context.Context, r forwarder.Request) (net.Conn, error) {
				time.Sleep(5 * time.Second)
				return inner(ctx, r)
			}
		})
		want := strings.Repeat("0123456789", 20_000) // more than reading ahead takes
		app, err := b.ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(app, want)
			app.CloseWrite()
		}()
		target := <-b.targets
		wantAll(t, "target", target, want)
		target.Close()
		wantAll(t, "app", app, "")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

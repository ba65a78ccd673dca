package forwarder_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

// labelled is an error with a label, as relayclient's are.
type labelled string

func (r labelled) Error() string  { return "refused: " + string(r) }
func (r labelled) Reason() string { return string(r) }

func (r labelled) LogAttrs() []slog.Attr { return []slog.Attr{slog.String("reason", string(r))} }

// journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Reset()
}

// failing has every dial of b fail for the reason that why points to.
func failing(b *testbed, why *labelled) {
	b.server.Dial = func(context.Context, forwarder.Request) (net.Conn, error) { return nil, fmt.Errorf("dial: %w", *why) }
}

// fail makes n connections that fail.
func (b *testbed) fail(t *testing.T, n int) {
	t.Helper()
	for range n {
		app, err := b.ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		<-b.summaries
		app.Close()
	}
	synctest.Wait()
}

// said is what the log has, in short: each line's message, reason and count.
func (b *testbed) said(t *testing.T) (lines []string) {
	t.Helper()
	for line := range strings.Lines(b.log.String()) {
		var e struct {
			Msg, Level, Endpoint, Cause, Reason string
			Count                               int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Level == "DEBUG" {
			continue
		}
		if e.Level != "WARN" || e.Endpoint != "sql01.corp.example:1433" || e.Cause != "dial_failed" {
			t.Errorf("logged: %s", line)
		}
		lines = append(lines, fmt.Sprintf("%s %s %d", e.Msg, e.Reason, e.Count))
	}
	return lines
}

func repeated(line string, n int) []string { return slices.Repeat([]string{line}, n) }

func wantLines(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("logged:\n%q\nwant\n%q", got, want)
	}
}

func TestOfAStormTenLinesAreWrittenAndTheRestIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := labelled("no_listener")
		b := start(t, func(b *testbed) { failing(b, &why) })
		b.fail(t, 500)
		want := repeated("connection closed no_listener 0", 10)
		wantLines(t, b.said(t), want)

		time.Sleep(10 * time.Second)
		synctest.Wait()
		want = append(want, "similar failures suppressed no_listener 490")
		wantLines(t, b.said(t), want)

		b.fail(t, 10) // in a new window, and not one too many
		time.Sleep(time.Minute)
		synctest.Wait()
		want = append(want, repeated("connection closed no_listener 0", 10)...)
		wantLines(t, b.said(t), want)
		b.stop()
		<-b.done
		wantLines(t, b.said(t), want)
	})
}

func TestAnotherReasonIsNotDrownedByAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := labelled("no_listener")
		b := start(t, func(b *testbed) { failing(b, &why) })
		b.fail(t, 100)
		why = "unauthorized"
		b.fail(t, 1)
		wantLines(t, b.said(t), append(repeated("connection closed no_listener 0", 10), "connection closed unauthorized 0"))
		b.stop()
		<-b.done
	})
}

func TestAShutdownTellsWhatWasCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := labelled("no_listener")
		b := start(t, func(b *testbed) { failing(b, &why) })
		b.fail(t, 13)
		began := time.Now()
		b.stop()
		<-b.done
		if took := time.Since(began); took != 0 {
			t.Errorf("Serve has waited %v for a window's end", took)
		}
		wantLines(t, b.said(t), append(repeated("connection closed no_listener 0", 10), "similar failures suppressed no_listener 3"))
	})
}

func TestAtLevelDebugEveryConnectionHasItsLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := labelled("no_listener")
		b := start(t, func(b *testbed) {
			failing(b, &why)
			b.server.Logger = slog.New(slog.NewJSONHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		b.fail(t, 50)
		b.stop()
		<-b.done
		wantLines(t, b.said(t), repeated("connection closed no_listener 0", 50))
	})
}

func TestConnectionsThatEndWellAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		for range 50 {
			app, target := b.open(t)
			write(t, target, "hello")
			target.CloseWrite()
			wantAll(t, "app", app, "hello")
			app.Close()
			<-b.summaries
		}
		b.stop()
		<-b.done
		if n := strings.Count(b.log.String(), `"msg":"connection closed"`); n != 50 {
			t.Errorf("got %d lines, want 50", n)
		}
	})
}

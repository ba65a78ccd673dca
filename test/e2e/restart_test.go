package e2e_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestRollingRestart replaces the sidecar under an app that works: a SIGTERM, a
// drain, and another process with the same settings, and so the same addresses.
func TestRollingRestart(t *testing.T) {
	needs(t)
	const workers = 8
	w := newWorld(t)
	w.serve(t, w.site, "digest", "127.0.0.2:18090")
	relay := w.relay(t, contoso, "load-hc=load.corp.example:8090@127.0.0.2:18090")
	settings := w.settings(t, relay.connections, relay.caFile)
	begin := func(t *testing.T) *process {
		app := w.role(t, w.app, "steady", fmt.Sprint(workers), "load.corp.example:8090")
		tell(t, app, "resume", "resumed")
		return app
	}
	// busy waits until the app's connections are open, long ones among them.
	busy := func(t *testing.T, s *sidecar, more int) {
		t.Helper()
		ended := len(s.closed(""))
		s.await(t, &s.stderr, 2*patience, fmt.Sprint(more, " more connections"), func(string) bool {
			return len(s.closed("")) >= ended+more
		})
	}

	// An app that is told to end as well, or that a service has been taken from,
	// goes on for a while and then rests: not one of its connections is cut.
	t.Run("NothingThatCanFinishIsCut", func(t *testing.T) {
		s := w.sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=60s")...)
		app := begin(t)
		busy(t, s, 50)
		s.beginDrain(t)
		busy(t, s, 50) // of which most began after the signal
		tell(t, app, "pause", "paused")
		if code := s.wait(t, 2*patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		next := w.sidecar(t, settings...)
		tell(t, app, "resume", "resumed")
		busy(t, next, 50)
		tell(t, app, "end", "ends:")
		next.stop(t, patience)
		out := app.stdout.String()
		if !strings.Contains(out, "long complete:") || !strings.Contains(out, "short complete:") ||
			strings.Contains(out, "truncated") || strings.Contains(out, "reset ") || strings.Contains(out, "refused") || strings.Contains(out, "odd") {
			t.Errorf("the app saw:\n%s", out)
		}
		for _, e := range append(s.closed(""), next.closed("")...) {
			if e.Cause != "closed" && e.Cause != "app_gone" {
				t.Errorf("logged: %s", e.line)
			}
		}
		t.Logf("the app: %s", lastLine(out))
	})

	// An app that knows nothing of it never rests. What is open when the time is
	// over is reset; until then nothing is, and nothing ever ends before its end.
	t.Run("WhatIsCutIsCutByAResetAndLate", func(t *testing.T) {
		const drain = 4 * time.Second
		s := w.sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT="+drain.String())...)
		app := begin(t)
		busy(t, s, 50)
		signalled := time.Now()
		if code := s.stop(t, drain+2*patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		next := w.sidecar(t, settings...)
		began := time.Now()
		busy(t, next, 50)
		tell(t, app, "pause", "paused")
		tell(t, app, "end", "ends:")
		next.stop(t, patience)
		out := app.stdout.String()
		resets := 0
		for line := range strings.Lines(out) {
			var end string
			var from, to int64
			if n, _ := fmt.Sscan(line, &end, &from, &to); n != 3 {
				continue
			}
			resets += strings.Count(end, "reset")
			earliest, latest := signalled.Add(drain).UnixMilli(), began.UnixMilli()
			if end != "reset" && end != "refused" || to < earliest || from > latest {
				t.Errorf("%s: a connection that began %d ms after the signal ended after %d ms; the drain lasts %v, and the next process was ready after %v",
					end, from-signalled.UnixMilli(), to-signalled.UnixMilli(), drain, began.Sub(signalled))
			}
		}
		if resets == 0 {
			t.Errorf("nothing was open when the drain was over; the app saw:\n%s", out)
		}
		t.Logf("the app: %s", lastLine(out))
	})
}

// tell gives a role a word and waits for its answer.
func tell(t testing.TB, p *process, word, answer string) {
	t.Helper()
	before := len(p.stdout.String())
	if _, err := io.WriteString(p.stdin, word+"\n"); err != nil {
		t.Fatal(err)
	}
	p.await(t, &p.stdout, 2*patience, answer, func(out string) bool { return strings.Contains(out[before:], answer) })
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

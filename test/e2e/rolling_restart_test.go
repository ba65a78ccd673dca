//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// TestRollingRestart replaces the sidecar under an app that works: a SIGTERM, a
// drain, and another process with the same settings, and so the same addresses.
func TestRollingRestart(t *testing.T) {
	world.Needs(t)
	const workers = 8
	w := world.New(t)
	w.Serve(t, w.Site, "digest", "127.0.0.2:18090")
	relay := w.Relay(t, world.Contoso, "load-hc=load.corp.example:8090@127.0.0.2:18090")
	settings := w.Settings(t, relay.Connections, relay.CAFile)
	begin := func(t *testing.T) *world.Process {
		app := w.Role(t, w.App, "steady", fmt.Sprint(workers), "load.corp.example:8090")
		app.Instruct(t, "resume", "resumed")
		return app
	}
	// busy waits until the app's connections are open, long ones among them.
	busy := func(t *testing.T, s *world.Sidecar, more int) {
		t.Helper()
		ended := len(s.Closed(""))
		s.Await(t, &s.Stderr, 2*world.Patience, fmt.Sprint(more, " more connections"), func(string) bool {
			return len(s.Closed("")) >= ended+more
		})
	}

	// An app that is told to end as well, or that a service has been taken from,
	// goes on for a while and then rests: not one of its connections is cut.
	t.Run("NothingThatCanFinishIsCut", func(t *testing.T) {
		s := w.Sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=60s")...)
		app := begin(t)
		busy(t, s, 50)
		s.BeginDrain(t)
		busy(t, s, 50) // of which most began after the signal
		app.Instruct(t, "pause", "paused")
		if code := s.Wait(t, 2*world.Patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		next := w.Sidecar(t, settings...)
		app.Instruct(t, "resume", "resumed")
		busy(t, next, 50)
		app.Instruct(t, "end", "ends:")
		next.Stop(t, world.Patience)
		out := app.Stdout.String()
		if !strings.Contains(out, "long complete:") || !strings.Contains(out, "short complete:") ||
			strings.Contains(out, "truncated") || strings.Contains(out, "reset ") || strings.Contains(out, "refused") || strings.Contains(out, "odd") {
			t.Errorf("the app saw:\n%s", out)
		}
		for _, e := range append(s.Closed(""), next.Closed("")...) {
			if e.Cause != "closed" && e.Cause != "app_gone" {
				t.Errorf("logged: %s", e.Line)
			}
		}
		t.Logf("the app: %s", lastLine(out))
	})

	// An app that knows nothing of it never rests. What is open when the time is
	// over is reset; until then nothing is, and nothing ever ends before its end.
	t.Run("WhatIsCutIsCutByAResetAndLate", func(t *testing.T) {
		const drain = 4 * time.Second
		s := w.Sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT="+drain.String())...)
		app := begin(t)
		busy(t, s, 50)
		signalled := time.Now()
		if code := s.Stop(t, drain+2*world.Patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		next := w.Sidecar(t, settings...)
		began := time.Now()
		busy(t, next, 50)
		app.Instruct(t, "pause", "paused")
		app.Instruct(t, "end", "ends:")
		next.Stop(t, world.Patience)
		out := app.Stdout.String()
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

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

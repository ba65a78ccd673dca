package e2e_test

import (
	"fmt"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// TestDrain ends sidecars with a transfer open, as an orchestrator does.
func TestDrain(t *testing.T) {
	needs(t, "getent")
	w := newWorld(t)
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	w.serve(t, w.site, "stream", "127.0.0.2:10019")
	relay := w.relay(t, contoso,
		"echo-hc=echo.corp.example:7@127.0.0.2:10007",
		"stream-hc=stream.corp.example:19@127.0.0.2:10019")
	settings := w.settings(t, relay.connections, relay.caFile)

	t.Run("OpenTransferFinishesAndNewOnesStillWork", func(t *testing.T) {
		s := w.sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=30s")...)
		open := w.client(t, "echo.corp.example:7")
		open.mustDo(t, "write before", "ok")
		open.mustDo(t, "line", "before")
		s.beginDrain(t)

		const size = 1 << 20
		want := fmt.Sprintf("%d %s", size, patternSum(0, size))
		late := w.client(t, "echo.corp.example:7") // looks the name up and connects
		late.mustDo(t, "write during", "ok")
		late.mustDo(t, "line", "during")
		late.mustDo(t, "close", "ok")
		w.mustRun(t, w.app, command{}, "getent", "hosts", "www.example")
		open.mustDo(t, fmt.Sprint("send ", size), "sent "+want)
		open.mustDo(t, fmt.Sprint("read ", size), "read "+want)
		select {
		case <-s.exited:
			t.Fatal("the sidecar has ended under an open transfer")
		default:
		}
		open.mustDo(t, "close", "ok")
		if code := s.wait(t, 15*time.Second); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})

	t.Run("SecondSignalEndsAtOnce", func(t *testing.T) {
		s := w.sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=30s")...)
		open := w.client(t, "stream.corp.example:19")
		open.mustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", patternSum(0, 65536)))
		s.beginDrain(t)
		s.signalUntilGone(t, 5*time.Second)
		if code := s.wait(t, time.Second); code != 1 {
			t.Errorf("exit code %d, want 1: it has not drained", code)
		}
	})

	t.Run("WhatIsOpenAfterTheTimeoutIsReset", func(t *testing.T) {
		s := w.sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=1s")...)
		open := w.client(t, "stream.corp.example:19")
		open.mustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", patternSum(0, 65536)))
		idle := w.client(t, "echo.corp.example:7")
		idle.mustDo(t, "write before", "ok")
		idle.mustDo(t, "line", "before")
		idle.begin(t, "readall")
		open.begin(t, "readall")
		if code := s.stop(t, 10*time.Second); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		for _, c := range []*client{open, idle} {
			if got := c.answer(t, patience); !regexp.MustCompile(`^ECONNRESET `).MatchString(got) {
				t.Errorf("the app saw %q, want ECONNRESET", got)
			}
		}
		for _, endpoint := range []string{"stream.corp.example:19", "echo.corp.example:7"} {
			if got := s.awaitClosed(t, endpoint, 1); got.Cause != "shutdown" {
				t.Errorf("logged: %s", got.line)
			}
		}
	})
}

// beginDrain sends the first signal and waits until the sidecar has said that
// it heard it.
func (s *sidecar) beginDrain(t testing.TB) {
	t.Helper()
	heard := regexp.MustCompile(`(?i)drain|shut|stopping|terminat`)
	before := len(s.stderr.String())
	s.signal(syscall.SIGTERM)
	s.await(t, &s.stderr, patience, "a word about the drain", func(text string) bool {
		return heard.MatchString(text[before:])
	})
}

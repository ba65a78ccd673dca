//go:build linux

package e2e_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// TestDrain ends sidecars with a transfer open, as an orchestrator does.
func TestDrain(t *testing.T) {
	world.Needs(t, "getent")
	w := world.New(t)
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	w.Serve(t, w.Site, "stream", "127.0.0.2:10019")
	relay := w.Relay(t, world.Contoso,
		"echo-hc=echo.corp.example:7@127.0.0.2:10007",
		"stream-hc=stream.corp.example:19@127.0.0.2:10019")
	settings := w.Settings(t, relay.Connections, relay.CAFile)

	t.Run("OpenTransferFinishesAndNewOnesStillWork", func(t *testing.T) {
		s := w.Sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=30s")...)
		open := w.Client(t, "echo.corp.example:7")
		open.MustDo(t, "write before", "ok")
		open.MustDo(t, "line", "before")
		s.BeginDrain(t)

		const size = 1 << 20
		want := fmt.Sprintf("%d %s", size, role.PatternSum(0, size))
		late := w.Client(t, "echo.corp.example:7") // looks the name up and connects
		late.MustDo(t, "write during", "ok")
		late.MustDo(t, "line", "during")
		late.MustDo(t, "close", "ok")
		w.MustRun(t, w.App, world.Command{}, "getent", "hosts", "www.example")
		open.MustDo(t, fmt.Sprint("send ", size), "sent "+want)
		open.MustDo(t, fmt.Sprint("read ", size), "read "+want)
		if !s.Running() {
			t.Fatal("the sidecar has ended under an open transfer")
		}
		open.MustDo(t, "close", "ok")
		if code := s.Wait(t, 15*time.Second); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})

	t.Run("SecondSignalEndsAtOnce", func(t *testing.T) {
		s := w.Sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=30s")...)
		open := w.Client(t, "stream.corp.example:19")
		open.MustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", role.PatternSum(0, 65536)))
		s.BeginDrain(t)
		s.SignalUntilGone(t, 5*time.Second)
		if code := s.Wait(t, time.Second); code != 1 {
			t.Errorf("exit code %d, want 1: it has not drained", code)
		}
	})

	t.Run("WhatIsOpenAfterTheTimeoutIsReset", func(t *testing.T) {
		s := w.Sidecar(t, append(settings, "HYCO_DRAIN_TIMEOUT=1s")...)
		open := w.Client(t, "stream.corp.example:19")
		open.MustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", role.PatternSum(0, 65536)))
		idle := w.Client(t, "echo.corp.example:7")
		idle.MustDo(t, "write before", "ok")
		idle.MustDo(t, "line", "before")
		idle.Begin(t, "readall")
		open.Begin(t, "readall")
		if code := s.Stop(t, 10*time.Second); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		for _, c := range []*world.Client{open, idle} {
			if got := c.Answer(t, world.Patience); !regexp.MustCompile(`^ECONNRESET `).MatchString(got) {
				t.Errorf("the app saw %q, want ECONNRESET", got)
			}
		}
		for _, endpoint := range []string{"stream.corp.example:19", "echo.corp.example:7"} {
			if got := s.AwaitClosed(t, endpoint, 1); got.Cause != "shutdown" {
				t.Errorf("logged: %s", got.Line)
			}
		}
	})
}

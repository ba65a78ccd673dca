//go:build linux

package world

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// Sidecar is a running hyco-sidecar.
type Sidecar struct{ *Process }

// Sidecar starts hyco-sidecar in app and waits until it is ready. Its own lookups
// go through itself, as resolv.conf of app names it. Settings given later win.
func (w *World) Sidecar(t testing.TB, settings ...string) *Sidecar {
	t.Helper()
	return w.SidecarBy(t, settings)
}

// SidecarBy is Sidecar with a command before the program, which the command becomes.
func (w *World) SidecarBy(t testing.TB, settings []string, command ...string) *Sidecar {
	t.Helper()
	s := w.StartSidecar(t, w.App, "hyco-sidecar", settings, command...)
	s.AwaitReady(t)
	return s
}

// StartSidecar starts hyco-sidecar in a namespace and waits for nothing. name is
// what a failure calls it; command stands before the program, as with SidecarBy.
func (w *World) StartSidecar(t testing.TB, ns, name string, settings []string, command ...string) *Sidecar {
	t.Helper()
	argv := append(slices.Clip(command), w.Program("hyco-sidecar"))
	return &Sidecar{w.Start(t, ns, name, SidecarEnvironment(append(slices.Clip(settings), w.Env...)), argv...)}
}

// SidecarEnvironment adds what every sidecar of these tests has: the site's DNS
// server, and little patience with what is left open at a test's end.
func SidecarEnvironment(settings []string) []string {
	return append([]string{
		"HYCO_DNS_UPSTREAMS=" + SiteAddress,
		"HYCO_DRAIN_TIMEOUT=2s",
	}, settings...)
}

// AwaitReady waits until the sidecar has said that it is ready.
func (s *Sidecar) AwaitReady(t testing.TB) {
	t.Helper()
	s.AwaitSaid(t, "ready", 1)
}

// Stop ends the sidecar as an orchestrator does, with SIGTERM, and returns its exit
// code.
func (s *Sidecar) Stop(t testing.TB, within time.Duration) int {
	t.Helper()
	s.Signal(syscall.SIGTERM)
	return s.Wait(t, within)
}

// BeginDrain sends SIGTERM and waits until the sidecar has said that it drains.
func (s *Sidecar) BeginDrain(t testing.TB) {
	t.Helper()
	before := len(s.Said("draining"))
	s.Signal(syscall.SIGTERM)
	s.AwaitSaid(t, "draining", before+1)
}

// SignalUntilGone sends SIGTERM ten times a second until the sidecar has ended: it
// takes a signal that follows the first at once for the same one.
func (s *Sidecar) SignalUntilGone(t testing.TB, within time.Duration) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for late := time.After(within); ; {
		select {
		case <-again.C:
			s.Signal(syscall.SIGTERM)
		case <-late:
			t.Fatal("the sidecar still runs")
		case <-s.Ended():
			return
		}
	}
}

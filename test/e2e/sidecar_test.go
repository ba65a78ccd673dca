package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sidecar is a running hyco-sidecar in app.
type sidecar struct{ *process }

// sidecar starts hyco-sidecar, whose own lookups go through itself, and waits
// until it is ready. Settings given later win.
func (w *world) sidecar(t testing.TB, settings ...string) *sidecar {
	t.Helper()
	return w.sidecarBy(t, settings)
}

// sidecarBy is sidecar with a command before the program, which becomes it.
func (w *world) sidecarBy(t testing.TB, settings []string, command ...string) *sidecar {
	t.Helper()
	argv := append(command, filepath.Join(w.programs, "hyco-sidecar"))
	s := &sidecar{w.start(t, w.app, "hyco-sidecar", sidecarEnvironment(append(settings, w.env...)), argv...)}
	s.awaitReady(t)
	return s
}

func (s *sidecar) awaitReady(t testing.TB) {
	t.Helper()
	s.await(t, &s.stderr, patience, "ready", func(string) bool {
		return slices.ContainsFunc(s.entries(), func(e entry) bool { return e.Msg == "ready" })
	})
}

// sidecarEnvironment adds what every sidecar of these tests has: the site's
// DNS server, and little patience with what is left open at a test's end.
func sidecarEnvironment(settings []string) []string {
	return append([]string{
		"HYCO_DNS_UPSTREAMS=" + siteAddress,
		"HYCO_DRAIN_TIMEOUT=2s",
	}, settings...)
}

// entry is one line of the sidecar's log.
type entry struct {
	Msg, Level, Endpoint, ID, Client, Dial, Took string
	Cause, Error, Stage, Phrase, Next            string
	TrackingID                                   string `json:"tracking_id"`
	Status                                       int
	Up, Down                                     int64

	line string
}

// entries is what has been logged; lines that are no JSON are left out.
func (s *sidecar) entries() []entry {
	var entries []entry
	for line := range strings.Lines(s.stderr.String()) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil {
			e.line = strings.TrimSpace(line)
			entries = append(entries, e)
		}
	}
	return entries
}

// closed is the lines about connections that have ended, for one endpoint or,
// for "", for all.
func (s *sidecar) closed(endpoint string) []entry {
	var closed []entry
	for _, e := range s.entries() {
		if e.Msg == "connection closed" && (endpoint == "" || e.Endpoint == endpoint) {
			closed = append(closed, e)
		}
	}
	return closed
}

// awaitClosed waits for the nth line, from 1, about a connection to endpoint
// that has ended, and returns it.
func (s *sidecar) awaitClosed(t testing.TB, endpoint string, nth int) entry {
	t.Helper()
	s.await(t, &s.stderr, patience, fmt.Sprintf("%d closed connections to %s", nth, endpoint), func(string) bool {
		return len(s.closed(endpoint)) >= nth
	})
	return s.closed(endpoint)[nth-1]
}

// stop is what an orchestrator does, and its exit code.
func (s *sidecar) stop(t testing.TB, within time.Duration) int {
	t.Helper()
	s.signal(syscall.SIGTERM)
	return s.wait(t, within)
}

// signalUntilGone sends SIGTERM ten times a second: one that follows the first at
// once belongs to it.
func (s *sidecar) signalUntilGone(t testing.TB, within time.Duration) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for late := time.After(within); ; {
		select {
		case <-again.C:
			s.signal(syscall.SIGTERM)
		case <-late:
			t.Fatal("the sidecar still runs")
		case <-s.exited:
			return
		}
	}
}

// config is what `hyco-sidecar config` prints for the settings.
func (w *world) config(t testing.TB, settings []string, args ...string) string {
	t.Helper()
	argv := append([]string{filepath.Join(w.programs, "hyco-sidecar"), "config"}, args...)
	return w.mustRun(t, w.app, command{env: sidecarEnvironment(settings)}, argv...)
}

// standIn is the loopback address the app gets for a name of ours.
func (w *world) standIn(t testing.TB, settings []string, name string) string {
	t.Helper()
	for line := range strings.Lines(w.config(t, settings, "--hosts")) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == name {
			return fields[0]
		}
	}
	t.Fatalf("config --hosts has no line for %s", name)
	return ""
}

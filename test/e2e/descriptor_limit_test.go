//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// TestTooFewDescriptors gives the sidecar fewer descriptors than its apps need. It
// says so once, waits without spinning, and goes on by itself when some come back.
func TestTooFewDescriptors(t *testing.T) {
	t.Parallel()
	world.Needs(t)
	const (
		limit    = 48
		held     = 10 // two descriptors each
		further  = 60
		endpoint = "echo.corp.example:7"
	)
	w := world.New(t)
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	relay := w.Relay(t, world.Contoso, "-personality", "halfclose", "echo-hc="+endpoint+"@127.0.0.2:10007")
	settings := append(w.Settings(t, relay.Connections, relay.CAFile), "HYCO_CONNECT_TIMEOUT=10s", "HYCO_WARM_CONNECTIONS=0")
	s := w.SidecarBy(t, settings, "sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0"`, limit))

	holding := w.Crowd(t, "hold", held, held, endpoint)
	holding.AwaitText(t, "all open")
	waiting := w.Crowd(t, "hold", further, further, endpoint)
	waiting.Tell(t, "close what you have got")
	accepting := func() (lines []string) {
		for _, e := range s.Entries() {
			if e.Level == "ERROR" && strings.Contains(e.Line, "accept") {
				lines = append(lines, e.Line)
			}
		}
		return lines
	}
	s.Await(t, &s.Stderr, world.Patience, "that accepting fails", func(string) bool { return len(accepting()) > 0 })

	const while = 3 * time.Second
	began := s.CPU(t)
	<-time.After(while)
	if took := s.CPU(t) - began; took > while/4 {
		t.Errorf("it computed for %v of %v in which it could do next to nothing", took, while)
	}
	lines := accepting()
	if len(lines) != 1 {
		t.Errorf("said %d times, want once: %s", len(lines), strings.Join(lines, "\n"))
	}
	if said := strings.ToLower(lines[0]); !strings.Contains(said, "too many open files") || !strings.Contains(said, "ulimit -n") {
		t.Errorf("logged without what to raise (ulimit -n): %s", lines[0])
	}

	holding.Tell(t, "close")
	holding.MustEnd(t, world.Patience, fmt.Sprintf("ends: map[echoed:%d]", held))
	waiting.MustEnd(t, world.Patience, "echoed:") // and those reset that were dialled for in vain
	w.Crowd(t, "echo", 20, 5, endpoint).MustEnd(t, world.Patience, "ends: map[echoed:20]")
}

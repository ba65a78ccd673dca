package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTooFewDescriptors gives the sidecar fewer descriptors than its apps need. It
// says so once, waits without spinning, and goes on by itself when some come back.
func TestTooFewDescriptors(t *testing.T) {
	t.Parallel()
	needs(t)
	const (
		limit    = 48
		held     = 10 // two descriptors each
		further  = 60
		endpoint = "echo.corp.example:7"
	)
	w := newWorld(t)
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	relay := w.relay(t, contoso, "-personality", "halfclose", "echo-hc="+endpoint+"@127.0.0.2:10007")
	settings := append(w.settings(t, relay.connections, relay.caFile), "HYCO_CONNECT_TIMEOUT=10s", "HYCO_WARM_CONNECTIONS=0")
	s := w.sidecarBy(t, settings, "sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0"`, limit))

	holding := w.crowd(t, "hold", held, held, endpoint)
	holding.awaitText(t, "all open")
	waiting := w.crowd(t, "hold", further, further, endpoint)
	waiting.tell(t, "close what you have got")
	accepting := func() (lines []string) {
		for _, e := range s.entries() {
			if e.Level == "ERROR" && strings.Contains(e.line, "accept") {
				lines = append(lines, e.line)
			}
		}
		return lines
	}
	s.await(t, &s.stderr, patience, "that accepting fails", func(string) bool { return len(accepting()) > 0 })

	const while = 3 * time.Second
	began := s.cpu(t)
	<-time.After(while)
	if took := s.cpu(t) - began; took > while/4 {
		t.Errorf("it computed for %v of %v in which it could do next to nothing", took, while)
	}
	lines := accepting()
	if len(lines) != 1 {
		t.Errorf("said %d times, want once: %s", len(lines), strings.Join(lines, "\n"))
	}
	if said := strings.ToLower(lines[0]); !strings.Contains(said, "too many open files") || !strings.Contains(said, "ulimit -n") {
		t.Errorf("logged without what to raise (ulimit -n): %s", lines[0])
	}

	holding.tell(t, "close")
	holding.mustEnd(t, patience, fmt.Sprintf("ends: map[echoed:%d]", held))
	waiting.mustEnd(t, patience, "echoed:") // and those reset that were dialled for in vain
	w.crowd(t, "echo", 20, 5, endpoint).mustEnd(t, patience, "ends: map[echoed:20]")
}

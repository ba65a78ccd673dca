package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTwentyThousandConnectionsLeaveNothingBehind opens and closes 20,000
// connections, several at once, and then 2,000 that are all there at once. What a
// sidecar holds afterwards is what it held after its first ones.
func TestTwentyThousandConnectionsLeaveNothingBehind(t *testing.T) {
	needs(t)
	const (
		first    = 2_000
		further  = 18_000
		storm    = 2_000
		endpoint = "echo.corp.example:7"
	)
	w := newWorld(t)
	w.programs = plainPrograms(t)
	// Half the time of a new connection goes into handshakes, and a part of that into
	// a key exchange that is of no interest here.
	w.env = []string{"GODEBUG=tlsmlkem=0"}
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	relay := w.relay(t, contoso, "-personality", "halfclose", "-log-level", "warn", "echo-hc="+endpoint+"@127.0.0.2:10007")
	// With less garbage in it, memory moves by hundredths between measurements; by
	// default it is tenths.
	settings := append(w.settings(t, relay.connections, relay.caFile), "GOGC=50")
	churn := func(count, atOnce int) {
		t.Helper()
		w.crowd(t, "echo", count, atOnce, endpoint).mustEnd(t, 10*patience, fmt.Sprintf("ends: map[echoed:%d]", count))
	}

	s := w.sidecar(t, settings...)
	churn(first, 20)
	files := settled(t, s)
	memory := s.resident(t)
	churn(further, 20)
	eventually(t, patience, fmt.Sprintf("no more than %d descriptors open", files), func() bool {
		return descriptors(t, s.process) <= files
	})
	var now int
	eventually(t, patience, fmt.Sprintf("memory within 10 %% of %d KiB", memory), func() bool {
		now = s.resident(t)
		return now <= memory+memory/10
	})
	t.Logf("memory after the first %d: %d KiB, after all: %d KiB", first, memory, now)

	t.Run("Storm", func(t *testing.T) {
		churn(storm, storm)
		eventually(t, patience, fmt.Sprintf("no more than %d descriptors open", files), func() bool {
			return descriptors(t, s.process) <= files
		})
	})
	causes := make(map[string]int)
	for _, e := range s.closed("") {
		causes[e.Cause]++
	}
	// An app that has closed is not waited for longer than 2 s, which the listener
	// may need on a busy machine.
	if n := causes["closed"] + causes["app_gone"]; n != first+further+storm || len(causes) > 2 {
		t.Errorf("ends logged: %v", causes)
	}

	after := goroutines(t, s)
	s = w.sidecar(t, settings...)
	churn(first/10, 20)
	settled(t, s)
	if diff := cmp.Diff(goroutines(t, s), after); diff != "" {
		t.Errorf("goroutines after %d connections (-) and after %d (+):\n%s", first/10, first+further+storm, diff)
	}
}

// settled is how many descriptors are left when what was closed is closed: the
// least of a few seconds, in which the last tunnels end.
func settled(t *testing.T, s *sidecar) int {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	least := descriptors(t, s.process)
	for range 30 {
		<-tick.C
		least = min(least, descriptors(t, s.process))
	}
	return least
}

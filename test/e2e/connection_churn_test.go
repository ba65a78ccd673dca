//go:build linux

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// TestTwentyThousandConnectionsLeaveNothingBehind opens and closes 20,000
// connections, several at once, and then 2,000 that are all there at once. What a
// sidecar holds afterwards is what it held after its first ones.
func TestTwentyThousandConnectionsLeaveNothingBehind(t *testing.T) {
	world.Needs(t)
	const (
		first    = 2_000
		further  = 18_000
		storm    = 2_000
		endpoint = "echo.corp.example:7"
	)
	w := world.New(t)
	w.Programs = world.PlainPrograms(t)
	// Half the time of a new connection goes into handshakes, and a part of that into
	// a key exchange that is of no interest here.
	w.Env = []string{"GODEBUG=tlsmlkem=0"}
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	relay := w.Relay(t, world.Contoso, "-personality", "halfclose", "-log-level", "warn", "echo-hc="+endpoint+"@127.0.0.2:10007")
	// With less garbage in it, memory moves by hundredths between measurements; by
	// default it is tenths.
	settings := append(w.Settings(t, relay.Connections, relay.CAFile), "GOGC=50")
	churn := func(count, atOnce int) {
		t.Helper()
		w.Crowd(t, "echo", count, atOnce, endpoint).MustEnd(t, 10*world.Patience, fmt.Sprintf("ends: map[echoed:%d]", count))
	}

	s := w.Sidecar(t, settings...)
	churn(first, 20)
	files := settled(t, s)
	memory := s.Resident(t)
	churn(further, 20)
	world.Eventually(t, world.Patience, fmt.Sprintf("no more than %d descriptors open", files), func() bool {
		return s.Descriptors(t) <= files
	})
	var now int
	world.Eventually(t, world.Patience, fmt.Sprintf("memory within 10 %% of %d KiB", memory), func() bool {
		now = s.Resident(t)
		return now <= memory+memory/10
	})
	t.Logf("memory after the first %d: %d KiB, after all: %d KiB", first, memory, now)

	t.Run("Storm", func(t *testing.T) {
		churn(storm, storm)
		world.Eventually(t, world.Patience, fmt.Sprintf("no more than %d descriptors open", files), func() bool {
			return s.Descriptors(t) <= files
		})
	})
	// The descriptors of a connection are closed a moment before its line is written.
	var ended []world.Entry
	world.Eventually(t, world.Patience, "a line for every connection", func() bool {
		ended = s.Closed("")
		return len(ended) >= first+further+storm
	})
	causes := make(map[string]int)
	for _, e := range ended {
		causes[e.Cause]++
	}
	// An app that has closed is not waited for longer than 2 s, which the listener
	// may need on a busy machine.
	if n := causes["closed"] + causes["app_gone"]; n != first+further+storm || len(causes) > 2 {
		t.Errorf("ends logged: %v", causes)
	}

	after := s.Goroutines(t)
	s = w.Sidecar(t, settings...)
	churn(first/10, 20)
	settled(t, s)
	if diff := world.Diff(s.Goroutines(t), after); diff != "" {
		t.Errorf("goroutines after %d connections (-) and after %d (+):\n%s", first/10, first+further+storm, diff)
	}
}

// settled is how many descriptors are left when what was closed is closed: the
// least of a few seconds, in which the last tunnels end.
func settled(t *testing.T, s *world.Sidecar) int {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	least := s.Descriptors(t)
	for range 30 {
		<-tick.C
		least = min(least, s.Descriptors(t))
	}
	return least
}

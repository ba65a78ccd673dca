//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// TestFiveHundredConnectionsLeaveNothingBehind moves 1 MB each way over 500
// connections that are open at once, with 200 endpoints configured, and then
// looks for file descriptors and goroutines that were not given back.
func TestFiveHundredConnectionsLeaveNothingBehind(t *testing.T) {
	world.Needs(t)
	const (
		endpoints   = 200
		used        = 10
		connections = 500
		size        = 1 << 20
	)
	w := world.New(t)
	w.Serve(t, w.Site, "digest", "127.0.0.2:10100")
	entities := make([]string, endpoints)
	list := make([]string, endpoints)
	for i := range endpoints {
		entities[i] = fmt.Sprintf("app%03d-hc", i)
		if i < used {
			entities[i] += fmt.Sprintf("=app%03d.corp.example:9000@127.0.0.2:10100", i)
		}
		list[i] = fmt.Sprintf("app%03d.corp.example:9000=app%03d-hc", i, i)
	}
	relay := w.Relay(t, world.Contoso, append([]string{"-send-key", "c2VuZA=="}, entities...)...)
	namespace, _, _ := strings.Cut(relay.Connections[0].Sender, ";EntityPath=")
	// The compact form: one key for the namespace, and a list.
	settings := []string{
		"HYCO_CA_FILE=" + relay.CAFile,
		"HYCO_CONNECTION_STRING=" + namespace,
		"HYCO_ENDPOINTS=" + strings.Join(list, ","),
	}
	load := func(s *world.Sidecar, count int) {
		t.Helper()
		before := len(s.Closed(""))
		args := []string{fmt.Sprint(count), fmt.Sprint(size)}
		for i := range used {
			args = append(args, fmt.Sprintf("app%03d.corp.example:9000", i))
		}
		p := w.Role(t, w.App, "load", args...)
		if code := p.Wait(t, 4*world.Patience); code != 0 {
			for _, e := range s.Entries() {
				if e.Level != "INFO" {
					t.Errorf("logged: %s", e.Line)
				}
			}
			t.Fatalf("load: exit code %d after %q\n%s", code, p.Stdout.String(), world.Tail(p.Stderr.String()))
		}
		s.Await(t, &s.Stderr, 2*world.Patience, "every connection's end", func(string) bool {
			return len(s.Closed("")) == before+count
		})
	}

	// What the first connections make once, such as a poller, is no leak.
	s := w.Sidecar(t, settings...)
	load(s, used)
	before := s.Descriptors(t)
	load(s, connections)
	for _, e := range s.Closed("") {
		// An app that has closed is not waited for longer than 2 s, which the
		// listener may need on a machine as busy as this.
		if e.Cause != "closed" && e.Cause != "app_gone" || e.Up != size+9 || e.Down != size+33 {
			t.Errorf("logged: %s", e.Line)
		}
	}
	world.Eventually(t, world.Patience, fmt.Sprintf("no more than %d descriptors open", before), func() bool {
		return s.Descriptors(t) <= before
	})

	after := s.Goroutines(t)
	s = w.Sidecar(t, settings...)
	load(s, used)
	if diff := world.Diff(s.Goroutines(t), after); diff != "" {
		t.Errorf("goroutines after %d connections (-) and after %d (+):\n%s", used, used+connections, diff)
	}
}

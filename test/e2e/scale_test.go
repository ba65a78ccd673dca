package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFiveHundredConnectionsLeaveNothingBehind moves 1 MB each way over 500
// connections that are open at once, with 200 endpoints configured, and then
// looks for file descriptors and goroutines that were not given back.
func TestFiveHundredConnectionsLeaveNothingBehind(t *testing.T) {
	needs(t)
	const (
		endpoints   = 200
		used        = 10
		connections = 500
		size        = 1 << 20
	)
	w := newWorld(t)
	w.serve(t, w.site, "digest", "127.0.0.2:10100")
	entities := make([]string, endpoints)
	list := make([]string, endpoints)
	for i := range endpoints {
		entities[i] = fmt.Sprintf("app%03d-hc", i)
		if i < used {
			entities[i] += fmt.Sprintf("=app%03d.corp.example:9000@127.0.0.2:10100", i)
		}
		list[i] = fmt.Sprintf("app%03d.corp.example:9000=app%03d-hc", i, i)
	}
	relay := w.relay(t, contoso, append([]string{"-send-key", "c2VuZA=="}, entities...)...)
	namespace, _, _ := strings.Cut(relay.connections[0].sender, ";EntityPath=")
	// The compact form: one key for the namespace, and a list.
	settings := []string{
		"HYCO_CA_FILE=" + relay.caFile,
		"HYCO_CONNECTION_STRING=" + namespace,
		"HYCO_ENDPOINTS=" + strings.Join(list, ","),
	}
	load := func(s *sidecar, count int) {
		t.Helper()
		before := len(s.closed(""))
		args := []string{fmt.Sprint(count), fmt.Sprint(size)}
		for i := range used {
			args = append(args, fmt.Sprintf("app%03d.corp.example:9000", i))
		}
		p := w.role(t, w.app, "load", args...)
		if code := p.wait(t, 4*patience); code != 0 {
			for _, e := range s.entries() {
				if e.Level != "INFO" {
					t.Errorf("logged: %s", e.line)
				}
			}
			t.Fatalf("load: exit code %d after %q\n%s", code, p.stdout.String(), tail(p.stderr.String()))
		}
		s.await(t, &s.stderr, 2*patience, "every connection's end", func(string) bool {
			return len(s.closed("")) == before+count
		})
	}

	// What the first connections make once, such as a poller, is no leak.
	s := w.sidecar(t, settings...)
	load(s, used)
	before := descriptors(t, s.process)
	load(s, connections)
	for _, e := range s.closed("") {
		// An app that has closed is not waited for longer than 2 s, which the
		// listener may need on a machine as busy as this.
		if e.Cause != "closed" && e.Cause != "app_gone" || e.Up != size+9 || e.Down != size+33 {
			t.Errorf("logged: %s", e.line)
		}
	}
	eventually(t, patience, fmt.Sprintf("no more than %d descriptors open", before), func() bool {
		return descriptors(t, s.process) <= before
	})

	after := goroutines(t, s)
	s = w.sidecar(t, settings...)
	load(s, used)
	if diff := cmp.Diff(goroutines(t, s), after); diff != "" {
		t.Errorf("goroutines after %d connections (-) and after %d (+):\n%s", used, used+connections, diff)
	}
}

// goroutines ends the sidecar with the signal that makes the Go runtime dump
// all stacks, and counts them by their outermost functions.
func goroutines(t testing.TB, s *sidecar) map[string]int {
	t.Helper()
	s.signal(syscall.SIGQUIT)
	s.wait(t, 10*time.Second)
	_, dump, ok := strings.Cut(s.stderr.String(), "SIGQUIT: quit")
	if !ok {
		t.Fatalf("no stacks after SIGQUIT:\n%s", tail(s.stderr.String()))
	}
	counts := make(map[string]int)
	for stack := range strings.SplitSeq(dump, "\n\n") {
		if !strings.HasPrefix(stack, "goroutine ") || strings.HasPrefix(stack, "goroutine 0 ") {
			continue // goroutine 0 is a thread's scheduler
		}
		var outermost string
		for line := range strings.Lines(stack) {
			args := strings.LastIndex(line, "(")
			function := line[:max(args, 0)]
			switch {
			case function == "", strings.HasPrefix(line, "\t"), strings.HasPrefix(line, "goroutine "):
			case strings.HasPrefix(line, "created by "):
			case strings.HasPrefix(function, "runtime.goexit"), strings.HasPrefix(function, "sync.(*WaitGroup).Go"):
			default:
				outermost = function
			}
		}
		// These wait for another dial, and end within a second.
		if !strings.Contains(stack, "forwarder.(*dialers).work") {
			counts[outermost]++
		}
	}
	return counts
}

package e2e_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// discovering is settings with nothing but connection strings.
func (w *world) discovering(t *testing.T, caFile string, senders ...string) []string {
	t.Helper()
	var connections []connection
	for _, sender := range senders {
		connections = append(connections, connection{endpoint: "auto", sender: sender})
	}
	return w.settings(t, connections, caFile)
}

// TestEndpointsAreDiscovered: connection strings are all that is configured, and the
// machine's resolver is the sidecar itself, which has yet to start.
func TestEndpointsAreDiscovered(t *testing.T) {
	needs(t, "curl")
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.relay(t, contoso, "orders-hc=Orders.corp.example:8080@127.0.0.2:18080")
	settings := w.discovering(t, relay.caFile, relay.connections[0].sender)
	w.sidecar(t, settings...)
	if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/"); strings.TrimSpace(got) != "the orders of contoso" {
		t.Errorf("got %q", got)
	}
	eventually(t, patience, "the number of listeners", func() bool {
		f, _ := w.scrape(t)
		return f[`hyco_endpoint_listeners{endpoint="orders.corp.example:8080"}`] == 1
	})
	status := w.mustRun(t, w.app, command{}, filepath.Join(w.programs, "hyco-sidecar"), "status")
	if !strings.Contains(status, "LISTENERS") || !strings.Contains(status, "orders-hc          1          healthy") {
		t.Errorf("status says:\n%s", status)
	}
}

// TestEndpointsThatCannotBeDiscovered asserts reports, all faults in one.
func TestEndpointsThatCannotBeDiscovered(t *testing.T) {
	w := newWorld(t)
	relay := w.relay(t, contoso, "-metadata", "empty-hc=", "-metadata", "text-hc=for the shop", "-metadata", "port-hc=[{\"key\":\"endpoint\",\"value\":\"sql01\"}]",
		"-metadata", `two-hc=[{"key":"owner","value":"shop"},{"key":"EndPoint","value":"SQL02.corp.example:1433"}]`,
		"empty-hc", "text-hc", "port-hc", "two-hc")
	sender := func(entity string) string { return relay.entity(t, entity, "").sender }
	run := func(settings []string) result {
		return w.run(t, w.app, command{env: append(sidecarEnvironment(settings), "HYCO_LOG_LEVEL=error")}, filepath.Join(w.programs, "hyco-sidecar"))
	}
	r := run(w.discovering(t, relay.caFile, sender("empty-hc"), sender("text-hc"), sender("port-hc"), sender("two-hc"),
		withField(sender("two-hc"), "EntityPath", "missing-hc"), withField(sender("two-hc"), "SharedAccessKey", "d3Jvbmc=")))
	for _, want := range []string{
		"hyco-sidecar: 5 settings need attention:",
		"  HYCO_CONNECTION_0_ENDPOINT: auto: the hybrid connection has no metadata (metadata_missing): write host:port instead of auto",
		`  HYCO_CONNECTION_1_ENDPOINT: auto: the hybrid connection's metadata is not a list of keys and values: "for the shop" (metadata_unusable)`,
		`  HYCO_CONNECTION_2_ENDPOINT: auto: the hybrid connection's metadata names the endpoint "sql01", which is not host:port (metadata_unusable)`,
		`  HYCO_CONNECTION_4_ENDPOINT: auto: the hybrid connection does not exist (hybrid connection "missing-hc"`,
		"  HYCO_CONNECTION_5_ENDPOINT: auto: the relay refused the credentials",
	} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("no %q in\n%s", want, r.stderr)
		}
	}
	if r.code != 2 {
		t.Errorf("exit code %d, want 2", r.code)
	}

	t.Run("ListenAlone", func(t *testing.T) {
		strict := w.relay(t, fabrikam, "-send-may-not-read", "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
		r := run(w.discovering(t, strict.caFile, strict.connections[0].sender))
		want := `HYCO_CONNECTION_0_ENDPOINT: auto: key defaultSender may not read the hybrid connection "orders-hc" (metadata_not_readable): give that key's rule the Listen right as well, or write host:port instead of auto`
		if r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("exit code %d\n%s", r.code, r.stderr)
		}
	})
	t.Run("Twice", func(t *testing.T) {
		settings := append(w.discovering(t, relay.caFile, sender("two-hc")),
			"HYCO_CONNECTION_1_ENDPOINT=sql02.corp.example:1433", "HYCO_CONNECTION_1_CONNECTION_STRING="+sender("two-hc"))
		r := run(settings)
		if want := "HYCO_CONNECTION_1_ENDPOINT: sql02.corp.example:1433 is listed in HYCO_CONNECTION_0_ENDPOINT already"; r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("exit code %d\n%s", r.code, r.stderr)
		}
	})
	t.Run("RelayThatIsSlow", func(t *testing.T) {
		start := func() *sidecar {
			relay.signal(syscall.SIGSTOP)
			s := &sidecar{w.start(t, w.app, "hyco-sidecar", sidecarEnvironment(w.discovering(t, relay.caFile, sender("two-hc"))), filepath.Join(w.programs, "hyco-sidecar"))}
			s.awaitSaid(t, "asking the relay for endpoints", 1)
			return s
		}
		s := start()
		s.signal(syscall.SIGTERM)
		if code := s.wait(t, patience); code != 0 {
			t.Errorf("exit code %d after SIGTERM, want 0", code)
		}
		s = start()
		relay.signal(syscall.SIGCONT)
		s.awaitReady(t)
	})
}

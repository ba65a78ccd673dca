//go:build linux

package e2e_test

import (
	"strings"
	"syscall"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// discovering is settings with nothing but connection strings.
func discovering(t *testing.T, w *world.World, caFile string, senders ...string) []string {
	t.Helper()
	var connections []world.Connection
	for _, sender := range senders {
		connections = append(connections, world.Connection{Endpoint: "auto", Sender: sender})
	}
	return w.Settings(t, connections, caFile)
}

// TestEndpointsAreDiscovered: connection strings are all that is configured, and the
// machine's resolver is the sidecar itself, which has yet to start.
func TestEndpointsAreDiscovered(t *testing.T) {
	world.Needs(t, "curl")
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc=Orders.corp.example:8080@127.0.0.2:18080")
	settings := discovering(t, w, relay.CAFile, relay.Connections[0].Sender)
	w.Sidecar(t, settings...)
	if got := w.Curl(t, "http://orders.corp.example:8080/"); strings.TrimSpace(got) != "the orders of contoso" {
		t.Errorf("got %q", got)
	}
	world.Eventually(t, world.Patience, "the number of listeners", func() bool {
		f, _ := w.Scrape(t)
		return f[`hyco_endpoint_listeners{endpoint="orders.corp.example:8080"}`] == 1
	})
	status := w.MustRun(t, w.App, world.Command{}, w.Program("hyco-sidecar"), "status")
	if !strings.Contains(status, "LISTENERS") || !strings.Contains(status, "orders-hc          1          healthy") {
		t.Errorf("status says:\n%s", status)
	}
}

// TestEndpointsThatCannotBeDiscovered asserts reports, all faults in one.
func TestEndpointsThatCannotBeDiscovered(t *testing.T) {
	w := world.New(t)
	relay := w.Relay(t, world.Contoso, "-metadata", "empty-hc=", "-metadata", "text-hc=for the shop", "-metadata", "port-hc=[{\"key\":\"endpoint\",\"value\":\"sql01\"}]",
		"-metadata", `two-hc=[{"key":"owner","value":"shop"},{"key":"EndPoint","value":"SQL02.corp.example:1433"}]`,
		"empty-hc", "text-hc", "port-hc", "two-hc")
	sender := func(entity string) string { return relay.Entity(t, entity, "").Sender }
	run := func(settings []string) world.Result {
		return w.Hyco(t, append(settings, "HYCO_LOG_LEVEL=error"))
	}
	r := run(discovering(t, w, relay.CAFile, sender("empty-hc"), sender("text-hc"), sender("port-hc"), sender("two-hc"),
		world.WithField(sender("two-hc"), "EntityPath", "missing-hc"), world.WithField(sender("two-hc"), "SharedAccessKey", "d3Jvbmc=")))
	for _, want := range []string{
		"hyco-sidecar: 5 settings need attention:",
		"  HYCO_CONNECTION_0_ENDPOINT: auto: the hybrid connection has no metadata (metadata_missing): write host:port instead of auto",
		`  HYCO_CONNECTION_1_ENDPOINT: auto: the hybrid connection's metadata is not a list of keys and values: "for the shop" (metadata_unusable)`,
		`  HYCO_CONNECTION_2_ENDPOINT: auto: the hybrid connection's metadata names the endpoint "sql01", which is not host:port (metadata_unusable)`,
		`  HYCO_CONNECTION_4_ENDPOINT: auto: the hybrid connection does not exist (hybrid connection "missing-hc"`,
		"  HYCO_CONNECTION_5_ENDPOINT: auto: the relay refused the credentials",
	} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("no %q in\n%s", want, r.Stderr)
		}
	}
	if r.Code != 2 {
		t.Errorf("exit code %d, want 2", r.Code)
	}

	t.Run("ListenAlone", func(t *testing.T) {
		strict := w.Relay(t, world.Fabrikam, "-send-may-not-read", "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
		r := run(discovering(t, w, strict.CAFile, strict.Connections[0].Sender))
		want := `HYCO_CONNECTION_0_ENDPOINT: auto: key defaultSender may not read the hybrid connection "orders-hc" (metadata_not_readable): give that key's rule the Listen right as well, or write host:port instead of auto`
		if r.Code != 2 || !strings.Contains(r.Stderr, want) {
			t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
		}
	})
	t.Run("Twice", func(t *testing.T) {
		settings := append(discovering(t, w, relay.CAFile, sender("two-hc")),
			"HYCO_CONNECTION_1_ENDPOINT=sql02.corp.example:1433", "HYCO_CONNECTION_1_CONNECTION_STRING="+sender("two-hc"))
		r := run(settings)
		if want := "HYCO_CONNECTION_1_ENDPOINT: sql02.corp.example:1433 is listed in HYCO_CONNECTION_0_ENDPOINT already"; r.Code != 2 || !strings.Contains(r.Stderr, want) {
			t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
		}
	})
	t.Run("RelayThatIsSlow", func(t *testing.T) {
		start := func() *world.Sidecar {
			relay.Signal(syscall.SIGSTOP)
			s := w.StartSidecar(t, w.App, "hyco-sidecar", discovering(t, w, relay.CAFile, sender("two-hc")))
			s.AwaitSaid(t, "asking the relay for endpoints", 1)
			return s
		}
		s := start()
		s.Signal(syscall.SIGTERM)
		if code := s.Wait(t, world.Patience); code != 0 {
			t.Errorf("exit code %d after SIGTERM, want 0", code)
		}
		s = start()
		relay.Signal(syscall.SIGCONT)
		s.AwaitReady(t)
	})
}

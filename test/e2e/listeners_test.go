package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// of is the settings that say what listens for connection n.
func of(n int, kind, portName string) []string {
	settings := []string{fmt.Sprintf("HYCO_CONNECTION_%d_LISTENER=%s", n, kind)}
	if portName != "" {
		settings = append(settings, fmt.Sprintf("HYCO_CONNECTION_%d_PORT_NAME=%s", n, portName))
	}
	return settings
}

// TestAzbridgeListener: both kinds of protocols through azbridge's listener, and
// what it refuses.
func TestAzbridgeListener(t *testing.T) {
	needs(t, "curl")
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	server := w.serve(t, w.site, "half-close", "127.0.0.2:10025", "220 mail.corp.example ready\r\n")
	w.serve(t, w.site, "late", "127.0.0.2:10080", fmt.Sprint(answerSize), "200ms")
	relay := w.relay(t, contoso, "-personality", "azbridge", "-port-name", "orders",
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080", "mail-hc=mail.corp.example:25@127.0.0.2:10025", "late-hc=late.corp.example:80@127.0.0.2:10080",
		"gone-hc=gone.corp.example:80@127.0.0.2:10079")
	hcm := w.relay(t, fabrikam, "raw-hc=raw.corp.example:80@127.0.0.2:10025")
	wrongName := relay.entity(t, "orders-hc", "wrongname.corp.example:80")
	asHCM := relay.entity(t, "orders-hc", "ashcm.corp.example:80")
	settings := w.settings(t, append(relay.connections, hcm.connections[0], wrongName, asHCM), relay.caFile, hcm.caFile)
	for n := range 4 {
		settings = append(settings, of(n, "azbridge", "orders")...)
	}
	settings = append(settings, of(4, "azbridge", "orders")...)
	settings = append(settings, of(5, "azbridge", "invoices")...)
	s := w.sidecar(t, settings...)

	if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/"); strings.TrimSpace(got) != "the orders of contoso" {
		t.Errorf("client first: got %q", got)
	}
	mail := w.client(t, "mail.corp.example:25")
	for _, step := range []struct{ do, want string }{
		{"line", "220 mail.corp.example ready"}, {"readall", "EOF 0"}, // and it reads on
		{"send 100000", "sent 100000"}, {"close", "ok"},
	} {
		if got := mail.do(t, step.do); !strings.HasPrefix(got, step.want) {
			t.Errorf("server first: %s: got %q, want %q", step.do, got, step.want)
		}
	}
	server.awaitText(t, fmt.Sprintf("received 100000 %s", patternSum(0, 100000)))
	w.crowd(t, "ask", 20, 5, "late.corp.example:80").mustEnd(t, patience, "ends: map[answered:20]")

	for endpoint, reason := range map[string]string{
		"wrongname.corp.example:80": "azbridge_port_name",
		"raw.corp.example:80":       "opening_not_understood",
	} {
		if got := w.attempt(t, endpoint).answer(t, patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("%s: the app saw %q", endpoint, got)
		}
		if e := s.awaitClosed(t, endpoint, 1); e.Cause != "dial_failed" || e.Stage != "opening" || !strings.Contains(e.line, `"reason":"`+reason+`"`) {
			t.Errorf("%s: got %s", endpoint, e.line)
		}
	}
	for endpoint, says := range map[string]string{
		"orders.corp.example:8080":  "healthy",
		"wrongname.corp.example:80": `azbridge has no port "invoices" on this hybrid connection`,
		"ashcm.corp.example:80":     "set HYCO_CONNECTION_N_LISTENER=azbridge",
		"raw.corp.example:80":       "hcm is right for a Hybrid Connection Manager",
	} {
		r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, filepath.Join(w.programs, "hyco-sidecar"), "check", endpoint)
		if !strings.Contains(r.stdout, says) || (r.code == 0) != (says == "healthy") || r.code != 0 && (r.code != 87 || !strings.Contains(r.stdout, "listener_mismatch")) {
			t.Errorf("check %s: exit code %d, want %q in\n%s", endpoint, r.code, says, r.stdout)
		}
	}
}

// TestAztunnelListener: the listener says itself when it does not reach a target.
func TestAztunnelListener(t *testing.T) {
	needs(t, "curl")
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.serve(t, w.site, "half-close", "127.0.0.2:10025", "220 mail.corp.example ready\r\n")
	relay := w.relay(t, contoso, "-personality", "aztunnel",
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080", "mail-hc=mail.corp.example:25@127.0.0.2:10025", "gone-hc=gone.corp.example:80@127.0.0.2:10079")
	settings := w.settings(t, relay.connections, relay.caFile)
	for n := range relay.connections {
		settings = append(settings, of(n, "aztunnel", "")...)
	}
	s := w.sidecar(t, settings...)
	for range 10 {
		if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/"); strings.TrimSpace(got) != "the orders of contoso" {
			t.Errorf("client first: got %q", got)
		}
	}
	mail := w.client(t, "mail.corp.example:25")
	if got := mail.do(t, "line"); got != "220 mail.corp.example ready" {
		t.Errorf("server first: got %q", got)
	}
	if got := w.attempt(t, "gone.corp.example:80").answer(t, patience); got != "ECONNRESET after 0 bytes" {
		t.Errorf("the app saw %q", got)
	}
	if e := s.awaitClosed(t, "gone.corp.example:80", 1); !strings.Contains(e.line, `"reason":"target_connection_refused"`) {
		t.Errorf("got %s", e.line)
	}
	r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, filepath.Join(w.programs, "hyco-sidecar"), "check", "gone.corp.example:80")
	if r.code != 90 || !strings.Contains(r.stdout, "the listener did not reach gone.corp.example:80: connection_refused") {
		t.Errorf("check: exit code %d\n%s", r.code, r.stdout)
	}
}

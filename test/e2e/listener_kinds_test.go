//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
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
	world.Needs(t, "curl")
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	server := w.Serve(t, w.Site, "half-close", "127.0.0.2:10025", "220 mail.corp.example ready\r\n")
	w.Serve(t, w.Site, "late", "127.0.0.2:10080", fmt.Sprint(role.AnswerSize), "200ms")
	relay := w.Relay(t, world.Contoso, "-personality", "azbridge", "-port-name", "orders",
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080", "mail-hc=mail.corp.example:25@127.0.0.2:10025", "late-hc=late.corp.example:80@127.0.0.2:10080",
		"gone-hc=gone.corp.example:80@127.0.0.2:10079")
	hcm := w.Relay(t, world.Fabrikam, "raw-hc=raw.corp.example:80@127.0.0.2:10025")
	wrongName := relay.Entity(t, "orders-hc", "wrongname.corp.example:80")
	asHCM := relay.Entity(t, "orders-hc", "ashcm.corp.example:80")
	settings := w.Settings(t, append(relay.Connections, hcm.Connections[0], wrongName, asHCM), relay.CAFile, hcm.CAFile)
	for n := range 4 {
		settings = append(settings, of(n, "azbridge", "orders")...)
	}
	settings = append(settings, of(4, "azbridge", "orders")...)
	settings = append(settings, of(5, "azbridge", "invoices")...)
	s := w.Sidecar(t, settings...)

	if got := w.Curl(t, "http://orders.corp.example:8080/"); strings.TrimSpace(got) != "the orders of contoso" {
		t.Errorf("client first: got %q", got)
	}
	mail := w.Client(t, "mail.corp.example:25")
	for _, step := range []struct{ do, want string }{
		{"line", "220 mail.corp.example ready"}, {"readall", "EOF 0"}, // and it reads on
		{"send 100000", "sent 100000"}, {"close", "ok"},
	} {
		if got := mail.Do(t, step.do); !strings.HasPrefix(got, step.want) {
			t.Errorf("server first: %s: got %q, want %q", step.do, got, step.want)
		}
	}
	server.AwaitText(t, fmt.Sprintf("received 100000 %s", role.PatternSum(0, 100000)))
	w.Crowd(t, "ask", 20, 5, "late.corp.example:80").MustEnd(t, world.Patience, "ends: map[answered:20]")

	for endpoint, reason := range map[string]string{
		"wrongname.corp.example:80": "azbridge_port_name",
		"raw.corp.example:80":       "opening_not_understood",
	} {
		if got := w.Attempt(t, endpoint).Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("%s: the app saw %q", endpoint, got)
		}
		if e := s.AwaitClosed(t, endpoint, 1); e.Cause != "dial_failed" || e.Stage != "opening" || !strings.Contains(e.Line, `"reason":"`+reason+`"`) {
			t.Errorf("%s: got %s", endpoint, e.Line)
		}
	}
	for endpoint, says := range map[string]string{
		"orders.corp.example:8080":  "healthy",
		"wrongname.corp.example:80": `azbridge has no port "invoices" on this hybrid connection`,
		"ashcm.corp.example:80":     "set HYCO_CONNECTION_N_LISTENER=azbridge",
		"raw.corp.example:80":       "hcm is right for a Hybrid Connection Manager",
	} {
		r := w.Hyco(t, settings, "check", endpoint)
		if !strings.Contains(r.Stdout, says) || (r.Code == 0) != (says == "healthy") || r.Code != 0 && (r.Code != 87 || !strings.Contains(r.Stdout, "listener_mismatch")) {
			t.Errorf("check %s: exit code %d, want %q in\n%s", endpoint, r.Code, says, r.Stdout)
		}
	}
}

// TestAztunnelListener: the listener says itself when it does not reach a target.
func TestAztunnelListener(t *testing.T) {
	world.Needs(t, "curl")
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "half-close", "127.0.0.2:10025", "220 mail.corp.example ready\r\n")
	relay := w.Relay(t, world.Contoso, "-personality", "aztunnel",
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080", "mail-hc=mail.corp.example:25@127.0.0.2:10025", "gone-hc=gone.corp.example:80@127.0.0.2:10079")
	settings := w.Settings(t, relay.Connections, relay.CAFile)
	for n := range relay.Connections {
		settings = append(settings, of(n, "aztunnel", "")...)
	}
	s := w.Sidecar(t, settings...)
	for range 10 {
		if got := w.Curl(t, "http://orders.corp.example:8080/"); strings.TrimSpace(got) != "the orders of contoso" {
			t.Errorf("client first: got %q", got)
		}
	}
	mail := w.Client(t, "mail.corp.example:25")
	if got := mail.Do(t, "line"); got != "220 mail.corp.example ready" {
		t.Errorf("server first: got %q", got)
	}
	if got := w.Attempt(t, "gone.corp.example:80").Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
		t.Errorf("the app saw %q", got)
	}
	if e := s.AwaitClosed(t, "gone.corp.example:80", 1); !strings.Contains(e.Line, `"reason":"target_connection_refused"`) {
		t.Errorf("got %s", e.Line)
	}
	r := w.Hyco(t, settings, "check", "gone.corp.example:80")
	if r.Code != 90 || !strings.Contains(r.Stdout, "the listener did not reach gone.corp.example:80: connection_refused") {
		t.Errorf("check: exit code %d\n%s", r.Code, r.Stdout)
	}
}

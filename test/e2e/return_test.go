package e2e_test

import (
	"strings"
	"syscall"
	"testing"
)

// TestRelayThatReturnsIsUsedAgain takes the relay's front away and puts it
// back, which the sidecar must notice by itself.
func TestRelayThatReturnsIsUsedAgain(t *testing.T) {
	needs(t, "curl")
	const address = siteAddress + ":443"
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.relay(t, []string{"-listen", siteAddress + ":8443", "-host", "contoso.servicebus.example"},
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	orders := relay.connections[0]
	orders.sender = withField(orders.sender, "Endpoint", "sb://contoso.servicebus.example/")
	front := w.serve(t, w.site, "front", address, siteAddress+":8443")
	sidecar := w.sidecar(t, append(w.settings(t, []connection{orders}, relay.caFile), "HYCO_CONNECT_TIMEOUT=3s")...)
	get := func() result {
		return w.run(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/")
	}

	if r := get(); r.code != 0 {
		t.Fatalf("curl before: %s", r.stderr)
	}
	front.end(syscall.SIGKILL)
	if r := get(); r.code == 0 || !strings.Contains(r.stderr, "reset") {
		t.Errorf("curl without a relay: exit code %d, %q; want a reset", r.code, r.stderr)
	}
	if got := sidecar.awaitClosed(t, orders.endpoint, 2); got.Cause != "dial_failed" || got.Next == "" {
		t.Errorf("logged: %s", got.line)
	}
	w.serve(t, w.site, "front", address, siteAddress+":8443")
	if r := get(); r.code != 0 {
		t.Errorf("curl after: %s", r.stderr)
	}
}

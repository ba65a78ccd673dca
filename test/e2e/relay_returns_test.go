//go:build linux

package e2e_test

import (
	"strings"
	"syscall"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// TestRelayThatReturnsIsUsedAgain takes the relay's front away and puts it
// back, which the sidecar must notice by itself.
func TestRelayThatReturnsIsUsedAgain(t *testing.T) {
	world.Needs(t, "curl")
	const address = world.SiteAddress + ":443"
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, []string{"-listen", world.SiteAddress + ":8443", "-host", "contoso.servicebus.example"},
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	orders := relay.Connections[0]
	orders.Sender = world.WithField(orders.Sender, "Endpoint", "sb://contoso.servicebus.example/")
	front := w.Serve(t, w.Site, "front", address, world.SiteAddress+":8443")
	sidecar := w.Sidecar(t, append(w.Settings(t, []world.Connection{orders}, relay.CAFile), "HYCO_CONNECT_TIMEOUT=3s")...)
	get := func() world.Result {
		return w.Run(t, w.App, world.Command{}, "curl", "-sS", "http://orders.corp.example:8080/")
	}

	if r := get(); r.Code != 0 {
		t.Fatalf("curl before: %s", r.Stderr)
	}
	front.End(syscall.SIGKILL)
	if r := get(); r.Code == 0 || !strings.Contains(r.Stderr, "reset") {
		t.Errorf("curl without a relay: exit code %d, %q; want a reset", r.Code, r.Stderr)
	}
	if got := sidecar.AwaitClosed(t, orders.Endpoint, 2); got.Cause != "dial_failed" || got.Next == "" {
		t.Errorf("logged: %s", got.Line)
	}
	w.Serve(t, w.Site, "front", address, world.SiteAddress+":8443")
	if r := get(); r.Code != 0 {
		t.Errorf("curl after: %s", r.Stderr)
	}
}

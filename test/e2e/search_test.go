package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSearchListIsNotTriedForTheRelay gives the sidecar the resolv.conf of a
// pod in Kubernetes, which would have four names tried before the relay's own.
func TestSearchListIsNotTriedForTheRelay(t *testing.T) {
	needs(t, "curl")
	w := newWorld(t)
	const pod = "nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	if err := os.WriteFile(filepath.Join(netnsDir, w.app, "resolv.conf"), []byte(pod), 0o644); err != nil {
		t.Fatal(err)
	}
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.relay(t, contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	w.sidecar(t, w.settings(t, relay.connections, relay.caFile)...)
	// With a dot at its end the name is not searched for by curl either.
	if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example.:8080/"); got != "the orders of contoso\n" {
		t.Errorf("got %q", got)
	}
	asked := w.dns.stdout.String()
	if !strings.Contains(asked, "asked contoso.servicebus.example\n") || strings.Contains(asked, "cluster.local") {
		t.Errorf("the nameserver was asked:\n%s", asked)
	}
}

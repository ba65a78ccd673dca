//go:build linux

package e2e_test

import (
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// TestSearchListIsNotTriedForTheRelay gives the sidecar the resolv.conf of a
// pod in Kubernetes, which would have four names tried before the relay's own.
func TestSearchListIsNotTriedForTheRelay(t *testing.T) {
	world.Needs(t, "curl")
	w := world.New(t)
	const pod = "nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	w.SetResolvConf(t, w.App, pod)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	w.Sidecar(t, w.Settings(t, relay.Connections, relay.CAFile)...)
	// With a dot at its end the name is not searched for by curl either.
	if got := w.Curl(t, "http://orders.corp.example.:8080/"); got != "the orders of contoso\n" {
		t.Errorf("got %q", got)
	}
	asked := w.DNS.Stdout.String()
	if !strings.Contains(asked, "asked contoso.servicebus.example\n") || strings.Contains(asked, "cluster.local") {
		t.Errorf("the nameserver was asked:\n%s", asked)
	}
}

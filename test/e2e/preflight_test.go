//go:build linux

package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// TestPreflightSaysWhatIsNotWell starts with all sorts of trouble, none of which
// keeps the sidecar from serving.
func TestPreflightSaysWhatIsNotWell(t *testing.T) {
	world.Needs(t, "curl", "unshare", "mount")
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "silent", world.SiteAddress+":8002")
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	early := w.Relay(t, append(world.Fabrikam, "-clock-offset", "1h"), "clock-hc")
	good := relay.Connections[0]
	settings := w.Settings(t, []world.Connection{
		good,
		early.Entity(t, "clock-hc", "clock.corp.example:80"),
		{Endpoint: "silent.corp.example:80", Sender: world.WithField(good.Sender, "Endpoint", "sb://contoso.servicebus.example:8002/")},
		{Endpoint: "dead.corp.example:80", Sender: world.WithField(good.Sender, "Endpoint", "sb://contoso.servicebus.example:8004/")},
		{Endpoint: "unknown.corp.example:80", Sender: world.WithField(good.Sender, "Endpoint", "sb://nobody.servicebus.example/")},
	}, relay.CAFile, early.CAFile)
	// Another sidecar, in site, is the resolver that is asked second, and asks us.
	other := w.StartSidecar(t, w.Site, "the looping resolver", []string{
		"HYCO_DNS_LISTEN=" + world.SiteAddress + ":5300", "HYCO_DNS_UPSTREAMS=" + world.AppAddress,
		"HYCO_CONNECTION_0_ENDPOINT=other.corp.example:80",
		"HYCO_CONNECTION_0_CONNECTION_STRING=" + world.WithField(good.Sender, "Endpoint", "sb://northwind.servicebus.example/"),
	})
	other.AwaitReady(t)
	file := filepath.Join(w.Dir, "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\nnameserver "+world.SiteAddress+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	sidecar := w.SidecarBy(t, append(settings,
		"HYCO_DNS_LISTEN=127.0.0.1,"+world.AppAddress,
		"HYCO_DNS_UPSTREAMS="+world.SiteAddress+","+world.SiteAddress+":5300"), "unshare", "-m", "sh", "-c", world.BindResolvConf, "sh", file)
	if ready := time.Since(began); ready > 4*time.Second {
		t.Errorf("ready after %v: a relay that is silent holds it up", ready)
	}
	const want = "the orders of contoso\n"
	if got := w.Curl(t, "http://orders.corp.example:8080/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}

	p := sidecar.Preflight(t)
	if p.Level != "WARN" {
		t.Errorf("level %s, want WARN", p.Level)
	}
	for code, parts := range map[string][]string{
		"clock_wrong":                  {"behind the relay's", "fabrikam.servicebus.example:8443"},
		"relay_unreachable":            {"contoso.servicebus.example:8004", "connection refused", "allow TCP"},
		"tls_failed":                   {"contoso.servicebus.example:8002", "no answer in time"},
		"relay_name_unknown":           {"nobody.servicebus.example"},
		"resolv_conf_more_nameservers": {world.SiteAddress},
		"upstream_loops":               {world.SiteAddress + ":5300", "HYCO_DNS_UPSTREAMS"},
	} {
		if !p.Has(code, parts...) {
			t.Errorf("no %s with %q in %q", code, parts, p.Findings)
		}
	}
	if len(p.Findings) != 6 || !slices.Contains(p.Fine, "contoso.servicebus.example:443 answers") {
		t.Errorf("got %d findings, want 6: %q; and fine: %q", len(p.Findings), p.Findings, p.Fine)
	}
	if text := sidecar.Stderr.String(); strings.Contains(text, world.Field(good.Sender, "SharedAccessKey")) {
		t.Error("the key is shown")
	}
}

// TestPreflightOfAGoodStart has nothing to warn of.
func TestPreflightOfAGoodStart(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	sidecar := w.Sidecar(t, w.Settings(t, relay.Connections, relay.CAFile)...)
	p := sidecar.Preflight(t)
	if p.Level != "INFO" || len(p.Findings) != 0 || len(p.Fine) != 3 {
		t.Errorf("got %+v, want nothing but three lines that all is fine", p)
	}
}

package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// preflight is the sidecar's one line about its start.
type preflight struct {
	Level, Msg     string
	Findings, Fine []string
}

func (s *sidecar) preflight(t testing.TB) preflight {
	t.Helper()
	text := s.await(t, &s.stderr, patience, "the preflight", func(text string) bool {
		return strings.Contains(text, `"msg":"preflight"`)
	})
	var p preflight
	for line := range strings.Lines(text) {
		var one preflight
		if json.Unmarshal([]byte(line), &one) == nil && one.Msg == "preflight" {
			if p.Msg != "" {
				t.Errorf("a second preflight: %s", line)
			}
			p = one
		}
	}
	return p
}

func (p preflight) has(code string, parts ...string) bool {
	return slices.ContainsFunc(p.Findings, func(f string) bool {
		return strings.HasPrefix(f, code+": ") && strings.HasSuffix(f, " (docs/troubleshooting.md#"+code+")") &&
			!slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(f, part) })
	})
}

// TestPreflightSaysWhatIsNotWell starts with all sorts of trouble, none of which
// keeps the sidecar from serving.
func TestPreflightSaysWhatIsNotWell(t *testing.T) {
	needs(t, "curl", "unshare", "mount")
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.serve(t, w.site, "silent", siteAddress+":8002")
	relay := w.relay(t, contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	early := w.relay(t, append(fabrikam, "-clock-offset", "1h"), "clock-hc")
	good := relay.connections[0]
	settings := w.settings(t, []connection{
		good,
		early.entity(t, "clock-hc", "clock.corp.example:80"),
		{endpoint: "silent.corp.example:80", sender: withField(good.sender, "Endpoint", "sb://contoso.servicebus.example:8002/")},
		{endpoint: "dead.corp.example:80", sender: withField(good.sender, "Endpoint", "sb://contoso.servicebus.example:8004/")},
		{endpoint: "unknown.corp.example:80", sender: withField(good.sender, "Endpoint", "sb://nobody.servicebus.example/")},
	}, relay.caFile, early.caFile)
	// Another sidecar, in site, is the resolver that is asked second, and asks us.
	other := &sidecar{w.start(t, w.site, "the looping resolver", sidecarEnvironment([]string{
		"HYCO_DNS_LISTEN=" + siteAddress + ":5300", "HYCO_DNS_UPSTREAMS=" + appAddress,
		"HYCO_CONNECTION_0_ENDPOINT=other.corp.example:80",
		"HYCO_CONNECTION_0_CONNECTION_STRING=" + withField(good.sender, "Endpoint", "sb://northwind.servicebus.example/"),
	}), filepath.Join(w.programs, "hyco-sidecar"))}
	other.awaitReady(t)
	file := filepath.Join(w.dir, "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\nnameserver "+siteAddress+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	sidecar := w.sidecarBy(t, append(settings,
		"HYCO_DNS_LISTEN=127.0.0.1,"+appAddress,
		"HYCO_DNS_UPSTREAMS="+siteAddress+","+siteAddress+":5300"), "unshare", "-m", "sh", "-c", bindResolvConf, "sh", file)
	if ready := time.Since(began); ready > 4*time.Second {
		t.Errorf("ready after %v: a relay that is silent holds it up", ready)
	}
	const want = "the orders of contoso\n"
	if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}

	p := sidecar.preflight(t)
	if p.Level != "WARN" {
		t.Errorf("level %s, want WARN", p.Level)
	}
	for code, parts := range map[string][]string{
		"clock_wrong":                  {"behind the relay's", "fabrikam.servicebus.example:8443"},
		"relay_unreachable":            {"contoso.servicebus.example:8004", "connection refused", "allow TCP"},
		"tls_failed":                   {"contoso.servicebus.example:8002", "no answer in time"},
		"relay_name_unknown":           {"nobody.servicebus.example"},
		"resolv_conf_more_nameservers": {siteAddress},
		"upstream_loops":               {siteAddress + ":5300", "HYCO_DNS_UPSTREAMS"},
	} {
		if !p.has(code, parts...) {
			t.Errorf("no %s with %q in %q", code, parts, p.Findings)
		}
	}
	if len(p.Findings) != 6 || !slices.Contains(p.Fine, "contoso.servicebus.example:443 answers") {
		t.Errorf("got %d findings, want 6: %q; and fine: %q", len(p.Findings), p.Findings, p.Fine)
	}
	if text := sidecar.stderr.String(); strings.Contains(text, field(good.sender, "SharedAccessKey")) {
		t.Error("the key is shown")
	}
}

// TestPreflightOfAGoodStart has nothing to warn of.
func TestPreflightOfAGoodStart(t *testing.T) {
	needs(t)
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.relay(t, contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	sidecar := w.sidecar(t, w.settings(t, relay.connections, relay.caFile)...)
	p := sidecar.preflight(t)
	if p.Level != "INFO" || len(p.Findings) != 0 || len(p.Fine) != 3 {
		t.Errorf("got %+v, want nothing but three lines that all is fine", p)
	}
}

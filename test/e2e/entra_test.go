package e2e_test

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// entraWorld is a world whose relay takes tokens of Entra ID alone.
type entraWorld struct {
	*world
	cloud *process
}

// newEntraWorld starts all but the sidecar. Tokens last for life, and are left
// alone for refreshIn; 0s: for as long as the sidecar sees fit.
func newEntraWorld(t *testing.T, life, refreshIn string) *entraWorld {
	t.Helper()
	w := &entraWorld{world: newWorld(t)}
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.cloud = w.serve(t, w.site, "cloud", w.dir, "127.0.0.2:18080", life, refreshIn)
	return w
}

// managed starts a managed identity's endpoint beside the app.
func (w *entraWorld) managed(t *testing.T, address, life, refreshIn string) *process {
	t.Helper()
	return w.serve(t, w.app, "managed", address, life, refreshIn)
}

// instruct changes how a stand-in behaves.
func instruct(t *testing.T, p *process, what string) {
	t.Helper()
	said := strings.Count(p.stdout.String(), "now "+what+"\n")
	if _, err := io.WriteString(p.stdin, what+"\n"); err != nil {
		t.Fatal(err)
	}
	p.await(t, &p.stdout, patience, what, func(text string) bool { return strings.Count(text, "now "+what+"\n") > said })
}

// identified is the sidecar's environment with an identity.
func (w *entraWorld) identified(settings ...string) []string {
	return append([]string{
		"HYCO_CA_FILE=" + filepath.Join(w.dir, "ca.pem"),
		"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:8080",
		"HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example/;EntityPath=orders-hc;Authentication=Managed Identity",
	}, settings...)
}

// registered is what all identities but managed ones have.
func (w *entraWorld) registered(proof string) []string {
	return w.identified("AZURE_TENANT_ID="+entraTenant, "AZURE_CLIENT_ID="+entraClient, "AZURE_AUTHORITY_HOST=https://"+entraHost+"/", proof)
}

func (w *entraWorld) get(t *testing.T) {
	t.Helper()
	const want = "the orders of contoso\n"
	if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
}

// TestEachIdentityReachesTheTarget shows each kind of identity from the proof to
// the app's bytes.
func TestEachIdentityReachesTheTarget(t *testing.T) {
	needs(t, "curl")
	w := newEntraWorld(t, "1h", "0s")
	if err := ipBatch("-n", w.app, "address add 169.254.169.254/32 dev lo"); err != nil {
		t.Fatal(err)
	}
	w.managed(t, "169.254.169.254:80", "24h", "12h")
	w.managed(t, "127.0.0.1:42356", "24h", "0s")
	for _, identity := range []struct {
		name     string
		settings []string
		shown    string
	}{
		{"workload identity", w.registered("AZURE_FEDERATED_TOKEN_FILE=" + filepath.Join(w.dir, "assertion")), "Entra ID (workload identity)"},
		{"client secret", w.registered("AZURE_CLIENT_SECRET=" + entraSecret), "Entra ID (client secret)"},
		{"client certificate", w.registered("AZURE_CLIENT_CERTIFICATE_PATH=" + filepath.Join(w.dir, "certificate.pem")), "Entra ID (client certificate)"},
		{"managed identity of Container Apps", w.identified("IDENTITY_ENDPOINT=http://127.0.0.1:42356/msi/token", "IDENTITY_HEADER="+entraHeader), "Entra ID (managed identity)"},
		{"managed identity of a virtual machine", w.identified("AZURE_CLIENT_ID=" + entraClient), "Entra ID (managed identity)"},
		{"managed identity of a virtual machine, behind a proxy for all else", w.identified("HTTP_PROXY=http://" + siteAddress + ":3128"), "Entra ID (managed identity)"},
	} {
		t.Run(identity.name, func(t *testing.T) {
			if got := w.config(t, identity.settings); !strings.Contains(got, identity.shown) {
				t.Errorf("config does not show %q:\n%s", identity.shown, got)
			}
			s := w.sidecar(t, identity.settings...)
			w.get(t)
			p := s.preflight(t)
			if fine := strings.Join(p.Fine, "\n"); len(p.Findings) > 0 && p.has("token_failed") || !strings.Contains(fine, identity.shown+": a token that is good until ") {
				t.Errorf("preflight: %q, %q", p.Findings, fine)
			}
			if _, text := w.scrape(t); !strings.Contains(text, `hyco_entra_token_requests_total{audience="https://relay.azure.net",result="ok"} 1`) ||
				!strings.Contains(text, `hyco_entra_token_expiry_timestamp_seconds{audience="https://relay.azure.net"} `) {
				t.Error("the metrics do not tell of one token")
			}
			if r := w.run(t, w.app, command{env: sidecarEnvironment(identity.settings)}, filepath.Join(w.programs, "hyco-sidecar"), "status"); r.code != 0 {
				t.Errorf("status: exit code %d, %s%s", r.code, r.stdout, r.stderr)
			}
			if code := s.stop(t, patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestAnOutageOfEntraIDIsTold goes through one: nobody notices while the token is
// good, then apps are reset, and all is well by itself afterwards.
func TestAnOutageOfEntraIDIsTold(t *testing.T) {
	needs(t, "curl")
	w := newEntraWorld(t, "30s", "1s")
	settings := w.registered("AZURE_CLIENT_SECRET=" + entraSecret)
	s := w.sidecar(t, settings...)
	w.get(t)
	instruct(t, w.cloud, "stalled")
	s.await(t, &s.stderr, patience, "the warning", func(text string) bool {
		return strings.Contains(text, `"level":"WARN","msg":"no new token of Entra ID, the old one is good until"`)
	})
	if text := s.stderr.String(); !strings.Contains(text, `"error":"Entra ID (`+entraHost+`) does not answer"`) {
		t.Errorf("the warning does not tell the reason:\n%s", tail(text))
	}
	w.get(t) // for ten seconds yet, as if nothing were wrong
	instruct(t, w.cloud, "failing")
	eventually(t, patience, "an app is reset, for the token has ended", func() bool {
		return strings.Contains(w.run(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/").stderr, "reset by peer")
	})
	s.await(t, &s.stderr, patience, "the reason", func(text string) bool {
		return strings.Contains(text, `"reason":"token_failed","attempts":1,"next":"wait: it is asked again by itself","see":"docs/troubleshooting.md#token_failed"`) &&
			strings.Contains(text, "token stage: Entra ID ("+entraHost+") answers with status 503: AADSTS90033: A transient error has occurred")
	})
	r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, filepath.Join(w.programs, "hyco-sidecar"), "check")
	if r.code != 75 || !strings.Contains(r.stdout, "AADSTS90033") {
		t.Errorf("check: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	instruct(t, w.cloud, "orderly")
	eventually(t, patience, "apps reach their target again", func() bool {
		return w.run(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/").code == 0
	})
	s.await(t, &s.stderr, patience, "the end of it", func(text string) bool {
		return strings.Contains(text, `"msg":"Entra ID gives tokens again"`)
	})
}

// TestARoleThatIsMissingIsNamed has a good token that the relay does not take.
func TestARoleThatIsMissingIsNamed(t *testing.T) {
	needs(t, "curl")
	w := newEntraWorld(t, "1h", "0s")
	instruct(t, w.cloud, "relay refuses")
	settings := w.registered("AZURE_CLIENT_SECRET=" + entraSecret)
	s := w.sidecar(t, settings...)
	if got := w.attempt(t, "orders.corp.example:8080").answer(t, patience); got != "ECONNRESET after 0 bytes" {
		t.Errorf("the app saw %q, want a reset", got)
	}
	if e := s.awaitClosed(t, "orders.corp.example:8080", 1); e.Status != 401 || !strings.Contains(e.Next, "the role Azure Relay Sender") {
		t.Errorf("got %s", e.line)
	}
	instruct(t, w.cloud, "relay accepts")
	w.get(t)
}

// TestAMachineWithoutIdentityIsToldSo has no endpoint of managed identities.
func TestAMachineWithoutIdentityIsToldSo(t *testing.T) {
	needs(t)
	w := newEntraWorld(t, "1h", "0s")
	s := w.sidecar(t, w.identified()...)
	const nobody = "the managed identity's endpoint (169.254.169.254) cannot be reached: dial tcp 169.254.169.254:80: connect: network is unreachable"
	if p := s.preflight(t); p.Level != "WARN" || !p.has("token_failed", "Entra ID (managed identity): "+nobody+": assign a managed identity to this machine") {
		t.Errorf("preflight: %q", p.Findings)
	}
	if got := w.attempt(t, "orders.corp.example:8080").answer(t, patience); got != "ECONNRESET after 0 bytes" {
		t.Errorf("the app saw %q, want a reset", got)
	}
	if e := s.awaitClosed(t, "orders.corp.example:8080", 1); e.Stage != "token" || !strings.Contains(e.Error, nobody) || !strings.Contains(e.Next, "workload identity") {
		t.Errorf("got %s", e.line)
	}
}

// TestNothingOfAnIdentityIsEverPrinted lets the sidecar say all it can say, and
// looks for tokens and for what they were given for in it.
func TestNothingOfAnIdentityIsEverPrinted(t *testing.T) {
	needs(t, "curl")
	w := newEntraWorld(t, "20s", "1s")
	managed := w.managed(t, "127.0.0.1:42356", "20s", "1s")
	key, err := keyOf(filepath.Join(w.dir, "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[string]string)
	for name, settings := range map[string][]string{
		"workload identity":  w.registered("AZURE_FEDERATED_TOKEN_FILE=" + filepath.Join(w.dir, "assertion")),
		"client secret":      w.registered("AZURE_CLIENT_SECRET=" + entraSecret),
		"client certificate": w.registered("AZURE_CLIENT_CERTIFICATE_PATH=" + filepath.Join(w.dir, "certificate.pem")),
		"managed identity":   w.identified("IDENTITY_ENDPOINT=http://127.0.0.1:42356/msi/token", "IDENTITY_HEADER="+entraHeader),
	} {
		settings = append(settings, "HYCO_LOG_LEVEL=debug", "HYCO_ADMIN_PPROF=true", "HYCO_CONNECT_TIMEOUT=2s",
			"AZURE_SDK_GO_LOGGING=all")
		s := w.sidecar(t, settings...)
		w.get(t)
		ask := func(when string) {
			t.Helper()
			for _, path := range []string{"/", "/api/status", "/metrics", "/readyz?verbose", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
				said[name+when+path] = w.mustRun(t, w.app, command{}, "curl", "-sSi", admin+path)
			}
			for _, args := range []string{"config", "status", "status --json", "check --all", "check --json --all"} {
				r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, append([]string{filepath.Join(w.programs, "hyco-sidecar")}, strings.Fields(args)...)...)
				said[name+when+args] = r.stdout + r.stderr
			}
		}
		ask(", in order: ")
		for _, behaviour := range []string{"leaking", "garbled"} {
			instruct(t, w.cloud, behaviour)
			instruct(t, managed, behaviour)
			ask(", " + behaviour + ": ")
		}
		instruct(t, w.cloud, "orderly")
		instruct(t, managed, "orderly")
		instruct(t, w.cloud, "relay refuses")
		ask(", refused: ")
		instruct(t, w.cloud, "relay accepts")
		s.stop(t, patience)
		said[name+": the log"] = s.stdout.String() + s.stderr.String()
	}
	secrets := map[string]string{
		entraSecret: "the client secret", entraHeader: "the header", key: "the certificate's key",
	}
	for _, p := range []*process{w.cloud, managed} {
		for line := range strings.Lines(p.stdout.String()) {
			var kind, text string
			if n, _ := fmt.Sscanf(line, "saw %s %s", &kind, &text); n == 2 {
				secrets[text] = kind
			}
		}
	}
	if len(secrets) < 12 {
		t.Fatalf("only %d secrets came to pass", len(secrets))
	}
	for name, text := range said {
		for secret, kind := range secrets {
			// The middle of a token is as telling as the whole; all begin alike.
			for _, form := range []string{secret, secret[len(secret)/2-8 : len(secret)/2+8]} {
				if strings.Contains(text, form) {
					t.Errorf("%s shows a part of %s:\n%s", name, kind, tail(text))
				}
			}
		}
		if strings.Contains(text, "eyJ") {
			t.Errorf("%s shows what looks like a token:\n%s", name, tail(text))
		}
	}
}

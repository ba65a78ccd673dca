//go:build linux

package e2e_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// entraWorld is a world whose relay takes tokens of Entra ID alone.
type entraWorld struct {
	*world.World
	cloud *world.Process
}

// newEntraWorld starts all but the sidecar. Tokens last for life, and are left
// alone for refreshIn; 0s: for as long as the sidecar sees fit.
func newEntraWorld(t *testing.T, life, refreshIn string) *entraWorld {
	t.Helper()
	w := &entraWorld{World: world.New(t)}
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.cloud = w.Serve(t, w.Site, "cloud", world.SiteAddress, w.Dir, "127.0.0.2:18080", life, refreshIn)
	return w
}

// managed starts a managed identity's endpoint beside the app.
func (w *entraWorld) managed(t *testing.T, address, life, refreshIn string) *world.Process {
	t.Helper()
	return w.Serve(t, w.App, "managed", address, life, refreshIn)
}

// identified is the sidecar's environment with an identity.
func (w *entraWorld) identified(settings ...string) []string {
	return append([]string{
		"HYCO_CA_FILE=" + filepath.Join(w.Dir, "ca.pem"),
		"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:8080",
		"HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example/;EntityPath=orders-hc;Authentication=Managed Identity",
	}, settings...)
}

// registered is what all identities but managed ones have.
func (w *entraWorld) registered(proof string) []string {
	return w.identified("AZURE_TENANT_ID="+role.EntraTenant, "AZURE_CLIENT_ID="+role.EntraClient, "AZURE_AUTHORITY_HOST=https://"+role.EntraHost+"/", proof)
}

func (w *entraWorld) get(t *testing.T) {
	t.Helper()
	const want = "the orders of contoso\n"
	if got := w.Curl(t, "http://orders.corp.example:8080/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
}

// TestEachIdentityReachesTheTarget shows each kind of identity from the proof to
// the app's bytes.
func TestEachIdentityReachesTheTarget(t *testing.T) {
	world.Needs(t, "curl")
	w := newEntraWorld(t, "1h", "0s")
	w.IP(t, w.App, "address add 169.254.169.254/32 dev lo")
	w.managed(t, "169.254.169.254:80", "24h", "12h")
	w.managed(t, "127.0.0.1:42356", "24h", "0s")
	for _, identity := range []struct {
		name     string
		settings []string
		shown    string
	}{
		{"workload identity", w.registered("AZURE_FEDERATED_TOKEN_FILE=" + filepath.Join(w.Dir, "assertion")), "Entra ID (workload identity)"},
		{"client secret", w.registered("AZURE_CLIENT_SECRET=" + role.EntraSecret), "Entra ID (client secret)"},
		{"client certificate", w.registered("AZURE_CLIENT_CERTIFICATE_PATH=" + filepath.Join(w.Dir, "certificate.pem")), "Entra ID (client certificate)"},
		{"managed identity of Container Apps", w.identified("IDENTITY_ENDPOINT=http://127.0.0.1:42356/msi/token", "IDENTITY_HEADER="+role.EntraHeader), "Entra ID (managed identity)"},
		{"managed identity of a virtual machine", w.identified("AZURE_CLIENT_ID=" + role.EntraClient), "Entra ID (managed identity)"},
		{"managed identity of a virtual machine, behind a proxy for all else", w.identified("HTTP_PROXY=http://" + world.SiteAddress + ":3128"), "Entra ID (managed identity)"},
	} {
		t.Run(identity.name, func(t *testing.T) {
			if got := w.Config(t, identity.settings); !strings.Contains(got, identity.shown) {
				t.Errorf("config does not show %q:\n%s", identity.shown, got)
			}
			s := w.Sidecar(t, identity.settings...)
			w.get(t)
			p := s.Preflight(t)
			if fine := strings.Join(p.Fine, "\n"); len(p.Findings) > 0 && p.Has("token_failed") || !strings.Contains(fine, identity.shown+": a token that is good until ") {
				t.Errorf("preflight: %q, %q", p.Findings, fine)
			}
			if _, text := w.Scrape(t); !strings.Contains(text, `hyco_entra_token_requests_total{audience="https://relay.azure.net",result="ok"} 1`) ||
				!strings.Contains(text, `hyco_entra_token_expiry_timestamp_seconds{audience="https://relay.azure.net"} `) {
				t.Error("the metrics do not tell of one token")
			}
			if r := w.Hyco(t, identity.settings, "status"); r.Code != 0 {
				t.Errorf("status: exit code %d, %s%s", r.Code, r.Stdout, r.Stderr)
			}
			if code := s.Stop(t, world.Patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestAnOutageOfEntraIDIsTold goes through one: nobody notices while the token is
// good, then apps are reset, and all is well by itself afterwards.
func TestAnOutageOfEntraIDIsTold(t *testing.T) {
	world.Needs(t, "curl")
	w := newEntraWorld(t, "30s", "1s")
	settings := w.registered("AZURE_CLIENT_SECRET=" + role.EntraSecret)
	s := w.Sidecar(t, settings...)
	w.get(t)
	w.cloud.Instruct(t, "stalled", "now stalled")
	s.Await(t, &s.Stderr, world.Patience, "the warning", func(text string) bool {
		return strings.Contains(text, `"level":"WARN","msg":"no new Entra ID token, the old one is still valid"`)
	})
	if text := s.Stderr.String(); !strings.Contains(text, `"error":"Entra ID (`+role.EntraHost+`) does not answer"`) {
		t.Errorf("the warning does not tell the reason:\n%s", world.Tail(text))
	}
	w.get(t) // for ten seconds yet, as if nothing were wrong
	w.cloud.Instruct(t, "failing", "now failing")
	world.Eventually(t, world.Patience, "an app is reset, for the token has ended", func() bool {
		return strings.Contains(w.Run(t, w.App, world.Command{}, "curl", "-sS", "http://orders.corp.example:8080/").Stderr, "reset by peer")
	})
	s.Await(t, &s.Stderr, world.Patience, "the reason", func(text string) bool {
		return strings.Contains(text, `"reason":"token_failed","attempts":1,"next":"wait: it is asked again by itself","see":"docs/troubleshooting.md#token_failed"`) &&
			strings.Contains(text, "token stage: Entra ID ("+role.EntraHost+") answers with status 503: AADSTS90033: A transient error has occurred")
	})
	r := w.Hyco(t, settings, "check")
	if r.Code != 75 || !strings.Contains(r.Stdout, "AADSTS90033") {
		t.Errorf("check: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	w.cloud.Instruct(t, "orderly", "now orderly")
	world.Eventually(t, world.Patience, "apps reach their target again", func() bool {
		return w.Run(t, w.App, world.Command{}, "curl", "-sS", "http://orders.corp.example:8080/").Code == 0
	})
	s.Await(t, &s.Stderr, world.Patience, "the end of it", func(text string) bool {
		return strings.Contains(text, `"msg":"Entra ID gives tokens again"`)
	})
}

// TestARoleThatIsMissingIsNamed has a good token that the relay does not take.
func TestARoleThatIsMissingIsNamed(t *testing.T) {
	world.Needs(t, "curl")
	w := newEntraWorld(t, "1h", "0s")
	w.cloud.Instruct(t, "relay refuses", "now relay refuses")
	settings := w.registered("AZURE_CLIENT_SECRET=" + role.EntraSecret)
	s := w.Sidecar(t, settings...)
	if got := w.Attempt(t, "orders.corp.example:8080").Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
		t.Errorf("the app saw %q, want a reset", got)
	}
	if e := s.AwaitClosed(t, "orders.corp.example:8080", 1); e.Status != 401 || !strings.Contains(e.Next, "the role Azure Relay Sender") {
		t.Errorf("got %s", e.Line)
	}
	w.cloud.Instruct(t, "relay accepts", "now relay accepts")
	w.get(t)
}

// TestAMachineWithoutIdentityIsToldSo has no endpoint of managed identities.
func TestAMachineWithoutIdentityIsToldSo(t *testing.T) {
	world.Needs(t)
	w := newEntraWorld(t, "1h", "0s")
	s := w.Sidecar(t, w.identified()...)
	const nobody = "the managed identity's endpoint (169.254.169.254) cannot be reached: dial tcp 169.254.169.254:80: connect: network is unreachable"
	if p := s.Preflight(t); p.Level != "WARN" || !p.Has("token_failed", "Entra ID (managed identity): "+nobody+": assign a managed identity to this machine") {
		t.Errorf("preflight: %q", p.Findings)
	}
	if got := w.Attempt(t, "orders.corp.example:8080").Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
		t.Errorf("the app saw %q, want a reset", got)
	}
	if e := s.AwaitClosed(t, "orders.corp.example:8080", 1); e.Stage != "token" || !strings.Contains(e.Error, nobody) || !strings.Contains(e.Next, "workload identity") {
		t.Errorf("got %s", e.Line)
	}
}

// TestNothingOfAnIdentityIsEverPrinted lets the sidecar say all it can say, and
// looks for tokens and for what they were given for in it.
func TestNothingOfAnIdentityIsEverPrinted(t *testing.T) {
	world.Needs(t, "curl")
	w := newEntraWorld(t, "20s", "1s")
	managed := w.managed(t, "127.0.0.1:42356", "20s", "1s")
	key, err := keyOf(filepath.Join(w.Dir, "certificate.pem"))
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[string]string)
	for name, settings := range map[string][]string{
		"workload identity":  w.registered("AZURE_FEDERATED_TOKEN_FILE=" + filepath.Join(w.Dir, "assertion")),
		"client secret":      w.registered("AZURE_CLIENT_SECRET=" + role.EntraSecret),
		"client certificate": w.registered("AZURE_CLIENT_CERTIFICATE_PATH=" + filepath.Join(w.Dir, "certificate.pem")),
		"managed identity":   w.identified("IDENTITY_ENDPOINT=http://127.0.0.1:42356/msi/token", "IDENTITY_HEADER="+role.EntraHeader),
	} {
		settings = append(settings, "HYCO_LOG_LEVEL=debug", "HYCO_ADMIN_PPROF=true", "HYCO_CONNECT_TIMEOUT=2s",
			"AZURE_SDK_GO_LOGGING=all")
		s := w.Sidecar(t, settings...)
		w.get(t)
		ask := func(when string) {
			t.Helper()
			for _, path := range []string{"/", "/api/status", "/metrics", "/readyz?verbose", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
				said[name+when+path] = w.MustRun(t, w.App, world.Command{}, "curl", "-sSi", world.Admin+path)
			}
			for _, args := range []string{"config", "status", "status --json", "check --all", "check --json --all"} {
				r := w.Hyco(t, settings, strings.Fields(args)...)
				said[name+when+args] = r.Stdout + r.Stderr
			}
		}
		ask(", in order: ")
		for _, behaviour := range []string{"leaking", "garbled"} {
			w.cloud.Instruct(t, behaviour, "now "+behaviour)
			managed.Instruct(t, behaviour, "now "+behaviour)
			ask(", " + behaviour + ": ")
		}
		w.cloud.Instruct(t, "orderly", "now orderly")
		managed.Instruct(t, "orderly", "now orderly")
		w.cloud.Instruct(t, "relay refuses", "now relay refuses")
		ask(", refused: ")
		w.cloud.Instruct(t, "relay accepts", "now relay accepts")
		s.Stop(t, world.Patience)
		said[name+": the log"] = s.Stdout.String() + s.Stderr.String()
	}
	secrets := map[string]string{
		role.EntraSecret: "the client secret", role.EntraHeader: "the header", key: "the certificate's key",
	}
	for _, p := range []*world.Process{w.cloud, managed} {
		for line := range strings.Lines(p.Stdout.String()) {
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
					t.Errorf("%s shows a part of %s:\n%s", name, kind, world.Tail(text))
				}
			}
		}
		if strings.Contains(text, "eyJ") {
			t.Errorf("%s shows what looks like a token:\n%s", name, world.Tail(text))
		}
	}
}

// keyOf is the private key in a PEM file, as its base64 stands there: what must
// not be printed.
func keyOf(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "PRIVATE KEY" {
			return string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: block.Bytes}))[20:84], nil
		}
	}
	return "", errors.New("no key in " + file)
}

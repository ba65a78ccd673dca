package e2e_test

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNoKeyIsEverPrinted lets the sidecar say all it can say, about successes
// and failures, and looks for the keys in it.
func TestNoKeyIsEverPrinted(t *testing.T) {
	needs(t, "curl")
	// Every character of base64 that some encoding changes is in it.
	const (
		key      = "QUJD+0/1c2VuZCBrZXkgb2YgY29udG9zbw+/abcd=="
		wrongKey = "RUZH+2/3bm90IHRoZSBrZXkgb2YgaXQ+/efgh=="
	)
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.relay(t, contoso, "-send-key", key,
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"refused-hc=refused.corp.example:80@127.0.0.2:10079",
		"nobody-hc")
	wrong := relay.entity(t, "orders-hc", "wrongkey.corp.example:80")
	wrong.sender = withField(wrong.sender, "SharedAccessKey", wrongKey)
	dead := relay.entity(t, "orders-hc", "dead.corp.example:80")
	dead.sender = withField(dead.sender, "Endpoint", "sb://contoso.servicebus.example:8004/")
	settings := append(w.settings(t, append(relay.connections[:2:2],
		relay.entity(t, "nobody-hc", "nobody.corp.example:80"), wrong, dead), relay.caFile),
		"HYCO_LOG_LEVEL=debug", "HYCO_CONNECT_TIMEOUT=2s", "HYCO_ADMIN_PPROF=true")
	sidecar := w.sidecar(t, settings...)

	w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/")
	for _, c := range []string{"refused.corp.example:80", "nobody.corp.example:80", "wrongkey.corp.example:80", "dead.corp.example:80"} {
		if got := w.attempt(t, c).answer(t, patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("the app saw %q, want a reset", got)
		}
		sidecar.awaitClosed(t, c, 1)
	}
	said := make(map[string]string)
	for _, path := range []string{"/", "/api/status", "/metrics", "/readyz?verbose", "/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
		said[path] = w.mustRun(t, w.app, command{}, "curl", "-sSi", admin+path)
	}
	for _, args := range []string{"status", "status --json", "healthcheck", "check --all", "check --json --all", "version"} {
		r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, append([]string{filepath.Join(w.programs, "hyco-sidecar")}, strings.Fields(args)...)...)
		said[args] = r.stdout + r.stderr
	}
	sidecar.stop(t, patience)

	// What Go prints when it gives up: the stacks of all goroutines.
	dying := w.sidecar(t, settings...)
	w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/")
	dying.signal(syscall.SIGQUIT)
	dying.wait(t, patience)
	if !strings.Contains(dying.stderr.String(), "goroutine ") {
		t.Errorf("no stacks in:\n%s", tail(dying.stderr.String()))
	}

	// A fault beside a key must not print the key either.
	faulty := append(settings,
		"HYCO_CONNECTION_STRING=Endpoint=contoso;SharedAccessKey="+key,
		"HYCO_CONNECTION_5_ENDPOINT=more.corp.example:80",
		"HYCO_CONNECTION_5_CONNECTION_STRING="+wrongKey,
		"HYCO_CONNECTION_9_CONNECTION_STRING=SharedAccessKey="+key)
	refused := w.run(t, w.app, command{env: sidecarEnvironment(faulty)}, filepath.Join(programs, "hyco-sidecar"), "config")
	if refused.code != 2 {
		t.Errorf("config of a faulty environment: exit code %d, want 2", refused.code)
	}
	maps.Copy(said, map[string]string{
		"run's stdout":                 sidecar.stdout.String(),
		"run's stderr":                 sidecar.stderr.String(),
		"config":                       w.config(t, settings),
		"config --hosts":               w.config(t, settings, "--hosts"),
		"the report of faults, stdout": refused.stdout,
		"the report of faults, stderr": refused.stderr,
		"Go's stacks":                  dying.stderr.String(),
	})
	for name, text := range said {
		if text == "" && (name == "/api/status" || name == "/metrics" || name == "status --json") {
			t.Errorf("%s is empty", name)
		}
		for _, secret := range []string{key, wrongKey} {
			// The middle of a key is as telling as the whole.
			for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ToLower(url.QueryEscape(secret)), secret[8:24]} {
				if strings.Contains(text, form) {
					t.Errorf("%s shows a key:\n%s", name, tail(text))
				}
			}
		}
		if strings.Contains(strings.ToLower(text), "sig=") {
			t.Errorf("%s shows a signature:\n%s", name, tail(text))
		}
	}
}

// TestKeysMayStandInFiles reads a connection string as an orchestrator mounts it.
func TestKeysMayStandInFiles(t *testing.T) {
	needs(t, "curl")
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.relay(t, contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	file := filepath.Join(w.dir, "connection-string")
	if err := os.WriteFile(file, []byte(relay.connections[0].sender+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.sidecar(t, "HYCO_CA_FILE="+relay.caFile,
		"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:8080",
		"HYCO_CONNECTION_0_CONNECTION_STRING_FILE="+file)
	w.mustRun(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/")
}

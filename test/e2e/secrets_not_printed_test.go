//go:build linux

package e2e_test

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// TestNoKeyIsEverPrinted lets the sidecar say all it can say, about successes
// and failures, and looks for the keys in it.
func TestNoKeyIsEverPrinted(t *testing.T) {
	world.Needs(t, "curl")
	// Every character of base64 that some encoding changes is in it.
	const (
		key      = "QUJD+0/1c2VuZCBrZXkgb2YgY29udG9zbw+/abcd=="
		wrongKey = "RUZH+2/3bm90IHRoZSBrZXkgb2YgaXQ+/efgh=="
	)
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "-send-key", key,
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"refused-hc=refused.corp.example:80@127.0.0.2:10079",
		"nobody-hc")
	wrong := relay.Entity(t, "orders-hc", "wrongkey.corp.example:80")
	wrong.Sender = world.WithField(wrong.Sender, "SharedAccessKey", wrongKey)
	dead := relay.Entity(t, "orders-hc", "dead.corp.example:80")
	dead.Sender = world.WithField(dead.Sender, "Endpoint", "sb://contoso.servicebus.example:8004/")
	settings := append(w.Settings(t, append(relay.Connections[:2:2],
		relay.Entity(t, "nobody-hc", "nobody.corp.example:80"), wrong, dead), relay.CAFile),
		"HYCO_LOG_LEVEL=debug", "HYCO_CONNECT_TIMEOUT=2s", "HYCO_ADMIN_PPROF=true")
	sidecar := w.Sidecar(t, settings...)

	w.Curl(t, "http://orders.corp.example:8080/")
	for _, c := range []string{"refused.corp.example:80", "nobody.corp.example:80", "wrongkey.corp.example:80", "dead.corp.example:80"} {
		if got := w.Attempt(t, c).Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("the app saw %q, want a reset", got)
		}
		sidecar.AwaitClosed(t, c, 1)
	}
	said := make(map[string]string)
	for _, path := range []string{"/", "/api/status", "/metrics", "/readyz?verbose", "/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
		said[path] = w.MustRun(t, w.App, world.Command{}, "curl", "-sSi", world.Admin+path)
	}
	for _, args := range []string{"status", "status --json", "healthcheck", "check --all", "check --json --all", "version"} {
		r := w.Hyco(t, settings, strings.Fields(args)...)
		said[args] = r.Stdout + r.Stderr
	}
	sidecar.Stop(t, world.Patience)

	// What Go prints when it gives up: the stacks of all goroutines.
	dying := w.Sidecar(t, settings...)
	w.Curl(t, "http://orders.corp.example:8080/")
	dying.Signal(syscall.SIGQUIT)
	dying.Wait(t, world.Patience)
	if !strings.Contains(dying.Stderr.String(), "goroutine ") {
		t.Errorf("no stacks in:\n%s", world.Tail(dying.Stderr.String()))
	}

	// A fault beside a key must not print the key either.
	faulty := append(settings,
		"HYCO_CONNECTION_STRING=Endpoint=contoso;SharedAccessKey="+key,
		"HYCO_CONNECTION_5_ENDPOINT=more.corp.example:80",
		"HYCO_CONNECTION_5_CONNECTION_STRING="+wrongKey,
		"HYCO_CONNECTION_9_CONNECTION_STRING=SharedAccessKey="+key)
	refused := w.Hyco(t, faulty, "config")
	if refused.Code != 2 {
		t.Errorf("config of a faulty environment: exit code %d, want 2", refused.Code)
	}
	maps.Copy(said, map[string]string{
		"run's stdout":                 sidecar.Stdout.String(),
		"run's stderr":                 sidecar.Stderr.String(),
		"config":                       w.Config(t, settings),
		"config --hosts":               w.Config(t, settings, "--hosts"),
		"the report of faults, stdout": refused.Stdout,
		"the report of faults, stderr": refused.Stderr,
		"Go's stacks":                  dying.Stderr.String(),
	})
	for name, text := range said {
		if text == "" && (name == "/api/status" || name == "/metrics" || name == "status --json") {
			t.Errorf("%s is empty", name)
		}
		for _, secret := range []string{key, wrongKey} {
			// The middle of a key is as telling as the whole.
			for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ToLower(url.QueryEscape(secret)), secret[8:24]} {
				if strings.Contains(text, form) {
					t.Errorf("%s shows a key:\n%s", name, world.Tail(text))
				}
			}
		}
		if strings.Contains(strings.ToLower(text), "sig=") {
			t.Errorf("%s shows a signature:\n%s", name, world.Tail(text))
		}
	}
}

// TestKeysMayStandInFiles reads a connection string as an orchestrator mounts it.
func TestKeysMayStandInFiles(t *testing.T) {
	world.Needs(t, "curl")
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
	file := filepath.Join(w.Dir, "connection-string")
	if err := os.WriteFile(file, []byte(relay.Connections[0].Sender+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Sidecar(t, "HYCO_CA_FILE="+relay.CAFile,
		"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:8080",
		"HYCO_CONNECTION_0_CONNECTION_STRING_FILE="+file)
	w.Curl(t, "http://orders.corp.example:8080/")
}

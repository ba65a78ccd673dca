package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
)

const interop = "../interop"

// nodeListens puts the official Node listener in HCM's place.
func nodeListens(t *testing.T, w *world, r *relay) {
	needs(t, "curl", "node", interop+"/node_modules")
	startNode(t, w, w.site, "listener.js", r, r.entity(t, "node-hc", "").listener, "TARGET=127.0.0.2:18080")
	const want = "the orders of contoso\n"
	if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://node.corp.example:8080/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
	curlMovesData(t, w, "node.corp.example:8080", 50<<20)
}

// nodeSends puts the official Node sender in the sidecar's place: it shows
// that the relay and its listeners are no dialect of ours.
func nodeSends(t *testing.T, w *world, r *relay) {
	needs(t, "curl", "node", interop+"/node_modules")
	startNode(t, w, w.app, "sender.js", r, r.entity(t, "orders-hc", "").sender, "LISTEN=127.0.0.1:7070")
	const want = "the orders of contoso\n"
	if got := w.mustRun(t, w.app, command{}, "curl", "-sS", "http://127.0.0.1:7070/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
	curlMovesData(t, w, "127.0.0.1:7070", 50<<20)
}

// startNode runs one of test/interop's bridges with the parts of a connection
// string and waits until it is ready.
func startNode(t *testing.T, w *world, ns, script string, r *relay, connectionString string, env ...string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(interop, script))
	if err != nil {
		t.Fatal(err)
	}
	// The client knows port 443 only.
	host := strings.TrimSuffix(strings.TrimPrefix(field(connectionString, "Endpoint"), "sb://"), "/")
	host = strings.TrimSuffix(host, ":443")
	node := w.start(t, ns, script, append(env,
		"NODE_EXTRA_CA_CERTS="+r.caFile,
		"RELAY_HOST="+host,
		"RELAY_PATH="+field(connectionString, "EntityPath"),
		"RELAY_KEY_NAME="+field(connectionString, "SharedAccessKeyName"),
		"RELAY_KEY="+field(connectionString, "SharedAccessKey"),
	), "node", path)
	node.awaitText(t, "ready")
}

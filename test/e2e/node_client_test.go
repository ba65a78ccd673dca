//go:build linux

package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

const interop = "../interop"

// nodeListens puts the official Node listener in HCM's place.
func nodeListens(t *testing.T, w *world.World, r *world.Relay) {
	world.Needs(t, "curl", "node", interop+"/node_modules")
	startNode(t, w, w.Site, "listener.js", r, r.Entity(t, "node-hc", "").Listener, "TARGET=127.0.0.2:18080")
	const want = "the orders of contoso\n"
	if got := w.Curl(t, "http://node.corp.example:8080/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
	curlMovesData(t, w, "node.corp.example:8080", 50<<20)
}

// nodeSends puts the official Node sender in the sidecar's place: it shows
// that the relay and its listeners are no dialect of ours.
func nodeSends(t *testing.T, w *world.World, r *world.Relay) {
	world.Needs(t, "curl", "node", interop+"/node_modules")
	startNode(t, w, w.App, "sender.js", r, r.Entity(t, "orders-hc", "").Sender, "LISTEN=127.0.0.1:7070")
	const want = "the orders of contoso\n"
	if got := w.Curl(t, "http://127.0.0.1:7070/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
	curlMovesData(t, w, "127.0.0.1:7070", 50<<20)
}

// startNode runs one of test/interop's bridges with the parts of a connection
// string and waits until it is ready.
func startNode(t *testing.T, w *world.World, ns, script string, r *world.Relay, connectionString string, env ...string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(interop, script))
	if err != nil {
		t.Fatal(err)
	}
	// The client knows port 443 only.
	host := strings.TrimSuffix(strings.TrimPrefix(world.Field(connectionString, "Endpoint"), "sb://"), "/")
	host = strings.TrimSuffix(host, ":443")
	node := w.Start(t, ns, script, append(env,
		"NODE_EXTRA_CA_CERTS="+r.CAFile,
		"RELAY_HOST="+host,
		"RELAY_PATH="+world.Field(connectionString, "EntityPath"),
		"RELAY_KEY_NAME="+world.Field(connectionString, "SharedAccessKeyName"),
		"RELAY_KEY="+world.Field(connectionString, "SharedAccessKey"),
	), "node", path)
	node.AwaitText(t, "ready")
}

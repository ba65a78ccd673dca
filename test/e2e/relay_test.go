package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// contoso is the relay most worlds have, where Azure's are: on port 443.
var contoso = []string{"-listen", siteAddress + ":443", "-host", "contoso.servicebus.example"}

// fabrikam and northwind are further relays, for listeners of other
// personalities.
var (
	fabrikam  = []string{"-listen", siteAddress + ":8443", "-host", "fabrikam.servicebus.example"}
	northwind = []string{"-listen", siteAddress + ":8444", "-host", "northwind.servicebus.example"}
)

// connection is what an operator copies from the portal: one hybrid
// connection, as its sender sees it, and its listener's string.
type connection struct {
	endpoint string // host:port; empty when the relay was given no target
	sender   string
	listener string
}

// relay is a running hyco-devrelay.
type relay struct {
	*process
	args        []string
	caFile      string
	connections []connection
}

// relay starts hyco-devrelay in site and waits until its listeners are online.
// at is its address and name; args are further flags and the entities.
func (w *world) relay(t testing.TB, at []string, args ...string) *relay {
	t.Helper()
	r := &relay{caFile: filepath.Join(w.dir, at[len(at)-1]+".pem")}
	r.args = append(append(append([]string{filepath.Join(w.programs, "hyco-devrelay")}, at...), "-ca-file", r.caFile), args...)
	r.restart(t, w)
	return r
}

// restart starts the relay that has been ended, with the same arguments. Keys
// that were not given are new ones, and so is the certificate.
func (r *relay) restart(t testing.TB, w *world) {
	t.Helper()
	r.process = w.start(t, w.site, "hyco-devrelay", w.env, r.args...)
	r.awaitText(t, "# ready")
	r.connections = nil
	for line := range strings.Lines(r.stdout.String()) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, "=")
		switch {
		case name == "HYCO_CA_FILE":
			if value != r.caFile {
				t.Errorf("HYCO_CA_FILE=%s, want %s", value, r.caFile)
			}
		case strings.HasSuffix(name, "_ENDPOINT"):
			r.at(index(t, name)).endpoint = value
		case strings.HasSuffix(name, "_CONNECTION_STRING"):
			r.at(index(t, name)).sender = value
		case strings.HasPrefix(line, "# listener "):
			_, value, _ := strings.Cut(line, ": ")
			_, entity, _ := strings.Cut(value, ";EntityPath=")
			for i := range r.connections {
				if strings.HasSuffix(r.connections[i].sender, ";EntityPath="+entity) {
					r.connections[i].listener = value
				}
			}
		}
	}
}

// at is connection n, made when it is the first that is heard of it.
func (r *relay) at(n int) *connection {
	for len(r.connections) <= n {
		r.connections = append(r.connections, connection{})
	}
	return &r.connections[n]
}

// index is N of HYCO_CONNECTION_N_….
func index(t testing.TB, variable string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscanf(variable, "HYCO_CONNECTION_%d_", &n); err != nil {
		t.Fatalf("hyco-devrelay printed %s: %v", variable, err)
	}
	return n
}

// entity is the connection of that entity, standing for endpoint.
func (r *relay) entity(t testing.TB, entity, endpoint string) connection {
	t.Helper()
	for _, c := range r.connections {
		if strings.HasSuffix(c.sender, ";EntityPath="+entity) {
			c.endpoint = endpoint
			return c
		}
	}
	t.Fatalf("hyco-devrelay printed no connection string for %s:\n%s", entity, r.stdout.String())
	return connection{}
}

// settings is the sidecar's environment for these connections and for the
// relays' certificates.
func (w *world) settings(t testing.TB, connections []connection, caFiles ...string) []string {
	t.Helper()
	var roots []byte
	for _, file := range caFiles {
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, pem...)
	}
	caFile := filepath.Join(w.dir, "roots.pem")
	if err := os.WriteFile(caFile, roots, 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"HYCO_CA_FILE=" + caFile}
	for i, c := range connections {
		env = append(env,
			fmt.Sprintf("HYCO_CONNECTION_%d_ENDPOINT=%s", i, c.endpoint),
			fmt.Sprintf("HYCO_CONNECTION_%d_CONNECTION_STRING=%s", i, c.sender))
	}
	return env
}

// field is the value of one key of a connection string.
func field(connectionString, key string) string {
	for part := range strings.SplitSeq(connectionString, ";") {
		if value, ok := strings.CutPrefix(part, key+"="); ok {
			return value
		}
	}
	return ""
}

// withField is the connection string with another value for the key.
func withField(connectionString, key, value string) string {
	return strings.Replace(connectionString, key+"="+field(connectionString, key), key+"="+value, 1)
}

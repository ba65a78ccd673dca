//go:build linux

package world

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Contoso is the address and the name of the relay that most worlds have, where
// Azure's are: on port 443.
var Contoso = []string{"-listen", SiteAddress + ":443", "-host", "contoso.servicebus.example"}

// Fabrikam and Northwind are those of further relays, for listeners of other
// personalities.
var (
	Fabrikam  = []string{"-listen", SiteAddress + ":8443", "-host", "fabrikam.servicebus.example"}
	Northwind = []string{"-listen", SiteAddress + ":8444", "-host", "northwind.servicebus.example"}
)

// Connection is what an operator copies from the portal about one hybrid connection.
type Connection struct {
	Endpoint string // host:port; empty when the relay was given no target
	Sender   string // the connection string for the sidecar
	Listener string // the connection string for a listener
}

// Relay is a running hyco-devrelay.
type Relay struct {
	*Process
	CAFile      string       // the authority of its certificate
	Connections []Connection // of its entities that have a target, in their order

	args []string
}

// Relay starts hyco-devrelay in site and waits until its listeners are online. at is
// its address and name, such as Contoso; args are further flags and the entities.
func (w *World) Relay(t testing.TB, at []string, args ...string) *Relay {
	t.Helper()
	r := &Relay{CAFile: filepath.Join(w.Dir, at[len(at)-1]+".pem")}
	r.args = append(append(append([]string{w.Program("hyco-devrelay")}, at...), "-ca-file", r.CAFile), args...)
	r.Restart(t, w)
	return r
}

// Restart starts the relay again after it has ended, with the same arguments. It has
// another certificate, and other keys unless they are in the arguments.
func (r *Relay) Restart(t testing.TB, w *World) {
	t.Helper()
	r.Process = w.Start(t, w.Site, "hyco-devrelay", w.Env, r.args...)
	r.AwaitText(t, "# ready")
	r.Connections = nil
	for line := range strings.Lines(r.Stdout.String()) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, "=")
		switch {
		case name == "HYCO_CA_FILE":
			if value != r.CAFile {
				t.Errorf("HYCO_CA_FILE=%s, want %s", value, r.CAFile)
			}
		case strings.HasSuffix(name, "_ENDPOINT"):
			r.at(index(t, name)).Endpoint = value
		case strings.HasSuffix(name, "_CONNECTION_STRING"):
			r.at(index(t, name)).Sender = value
		case strings.HasPrefix(line, "# listener "):
			_, value, _ := strings.Cut(line, ": ")
			_, entity, _ := strings.Cut(value, ";EntityPath=")
			for i := range r.Connections {
				if strings.HasSuffix(r.Connections[i].Sender, ";EntityPath="+entity) {
					r.Connections[i].Listener = value
				}
			}
		}
	}
}

// at is connection n, which is made when it is not there.
func (r *Relay) at(n int) *Connection {
	for len(r.Connections) <= n {
		r.Connections = append(r.Connections, Connection{})
	}
	return &r.Connections[n]
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

// Entity is the connection of that entity, for this endpoint.
func (r *Relay) Entity(t testing.TB, entity, endpoint string) Connection {
	t.Helper()
	for _, c := range r.Connections {
		if strings.HasSuffix(c.Sender, ";EntityPath="+entity) {
			c.Endpoint = endpoint
			return c
		}
	}
	t.Fatalf("hyco-devrelay printed no connection string for %s:\n%s", entity, r.Stdout.String())
	return Connection{}
}

// Settings is the sidecar's environment for these connections, and for the relays
// that the certificates in caFiles vouch for.
func (w *World) Settings(t testing.TB, connections []Connection, caFiles ...string) []string {
	t.Helper()
	var roots []byte
	for _, file := range caFiles {
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, pem...)
	}
	caFile := filepath.Join(w.Dir, "roots.pem")
	if err := os.WriteFile(caFile, roots, 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"HYCO_CA_FILE=" + caFile}
	for i, c := range connections {
		env = append(env,
			fmt.Sprintf("HYCO_CONNECTION_%d_ENDPOINT=%s", i, c.Endpoint),
			fmt.Sprintf("HYCO_CONNECTION_%d_CONNECTION_STRING=%s", i, c.Sender))
	}
	return env
}

// Field is the value of one key of a connection string; empty when it is not there.
func Field(connectionString, key string) string {
	for part := range strings.SplitSeq(connectionString, ";") {
		if value, ok := strings.CutPrefix(part, key+"="); ok {
			return value
		}
	}
	return ""
}

// WithField is the connection string with another value for a key that it has.
func WithField(connectionString, key, value string) string {
	return strings.Replace(connectionString, key+"="+Field(connectionString, key), key+"="+value, 1)
}

//go:build linux

package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// Keys as Azure makes them.
const (
	firstKey  = "Zmlyc3Qta2V5LWZpcnN0LWtleS1maXJzdC1rZXktMTI="
	secondKey = "c2Vjb25kLWtleS1zZWNvbmQta2V5LXNlY29uZC1rZXk="
	thirdKey  = "dGhpcmQta2V5LXRoaXJkLWtleS10aGlyZC1rZXktMTI="
)

const echoEndpoint = "echo.corp.example:7"

// rotating is a world with an echo server behind a relay whose keys can change.
type rotating struct {
	*world.World
	relay *world.Relay
	keys  string // file of the keys that the relay takes
	reads int
}

func newRotating(t *testing.T, keys ...string) *rotating {
	t.Helper()
	w := world.New(t)
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	r := &rotating{World: w, keys: filepath.Join(w.Dir, "keys")}
	writeFile(t, r.keys, strings.Join(keys, "\n"))
	r.relay = w.Relay(t, world.Contoso, "-personality", "halfclose", "-send-keys", r.keys, "echo-hc="+echoEndpoint+"@127.0.0.2:10007")
	return r
}

// takes makes the relay take these keys and no other.
func (r *rotating) takes(t *testing.T, keys ...string) {
	t.Helper()
	writeFile(t, r.keys, strings.Join(keys, "\n"))
	r.relay.Signal(syscall.SIGHUP)
	r.reads++
	r.relay.Await(t, &r.relay.Stdout, world.Patience, "the relay to take other keys", func(text string) bool {
		return strings.Count(text, "# keys read") == r.reads
	})
}

// with is the sender's connection string with another key.
func (r *rotating) with(key string) string {
	return world.WithField(r.relay.Connections[0].Sender, "SharedAccessKey", key)
}

// arrivals lets apps come at fifty per second; come waits until so many more have.
func (r *rotating) arrivals(t *testing.T) (apps *world.Process, come func(n int)) {
	t.Helper()
	apps = r.Role(t, r.App, "arrivals", echoEndpoint)
	came := 0
	return apps, func(n int) {
		t.Helper()
		came += n
		apps.AwaitText(t, fmt.Sprintf("%d came\n", came))
	}
}

// noneFailed ends the apps.
func noneFailed(t *testing.T, apps *world.Process) {
	t.Helper()
	apps.Tell(t, "enough")
	apps.MustEnd(t, world.Patience, "ends: map[echoed:")
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestKeyIsRolledOverUnderLoad: the relay stops taking the first key while apps
// come at fifty per second.
func TestKeyIsRolledOverUnderLoad(t *testing.T) {
	world.Needs(t, "curl")
	r := newRotating(t, firstKey, secondKey)
	s := r.Sidecar(t, append(r.Settings(t, r.relay.Connections, r.relay.CAFile), "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING="+r.with(secondKey))...)
	apps, come := r.arrivals(t)
	come(100)
	r.takes(t, secondKey)
	come(150)
	noneFailed(t, apps)
	if lines := s.Said("the relay refused a credential, using the other"); len(lines) != 1 || !strings.Contains(lines[0], `"reason":"unauthorized"`) {
		t.Errorf("the log says %q", lines)
	}
	const labels = `{credential="%s",endpoint="` + echoEndpoint + `"}`
	f, text := r.Scrape(t)
	if f["hyco_credential_in_use"+fmt.Sprintf(labels, "secondary")] != 1 || f["hyco_credential_in_use"+fmt.Sprintf(labels, "first")] != 0 ||
		f["hyco_credential_refused_total"+fmt.Sprintf(labels, "first")] < 1 {
		t.Errorf("the metrics say:\n%s", text)
	}
	if status := r.Curl(t, world.Admin+"/api/status"); !strings.Contains(status, `"credential":"key defaultSender (secondary)"`) {
		t.Errorf("the status says %s", status)
	}
	check := r.MustHyco(t, append(r.Settings(t, r.relay.Connections, r.relay.CAFile), "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING="+r.with(secondKey)), "check", "--probe", "none")
	if !strings.Contains(check, "the secondary credential is accepted; the first was refused") {
		t.Errorf("check says:\n%s", check)
	}
}

// secret is a file as Kubernetes mounts it: its folder holds links into another
// one, which is exchanged as a whole.
type secret struct {
	dir     string
	version int
}

func (s *secret) path() string { return filepath.Join(s.dir, "echo") }

func (s *secret) put(t *testing.T, text string) {
	t.Helper()
	s.version++
	version := fmt.Sprintf("..version%d", s.version)
	if err := os.MkdirAll(filepath.Join(s.dir, version), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.dir, version, "echo"), text)
	if err := os.Symlink(version, filepath.Join(s.dir, "..next")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.dir, "..next"), filepath.Join(s.dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if s.version == 1 {
		if err := os.Symlink("..data/echo", s.path()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSecretInAFileIsRotatedUnderLoad: no connection fails, one that is open stays,
// and a file that makes no sense changes nothing.
func TestSecretInAFileIsRotatedUnderLoad(t *testing.T) {
	world.Needs(t, "curl")
	r := newRotating(t, firstKey)
	file := secret{dir: filepath.Join(r.Dir, "secret")}
	file.put(t, r.with(firstKey))
	settings := append(r.Settings(t, nil, r.relay.CAFile), "HYCO_CONNECTION_0_ENDPOINT="+echoEndpoint, "HYCO_CONNECTION_0_CONNECTION_STRING_FILE="+file.path())
	s := r.Sidecar(t, settings...)
	long := r.Crowd(t, "hold", 1, 1, echoEndpoint)
	long.AwaitText(t, "all open")
	apps, come := r.arrivals(t)
	come(50)

	// In order: both keys are good for a while.
	r.takes(t, firstKey, secondKey)
	file.put(t, r.with(secondKey))
	s.AwaitSaid(t, "secret changed", 1)
	r.takes(t, secondKey)
	come(100)

	// What makes no sense is not used.
	file.put(t, "Endpoint=sb://contoso.servicebus.example/;SharedAccessKeyName=defaultSender;SharedAccessKey")
	s.AwaitSaid(t, "a changed secret is not used", 1)
	file.put(t, world.WithField(r.with(thirdKey), "EntityPath", "orders-hc"))
	s.AwaitSaid(t, "a changed secret is not used", 2)
	come(100)

	// In a hurry: the key is in the file, and the old one revoked the next moment.
	file.put(t, r.with(thirdKey))
	r.takes(t, thirdKey)
	come(100)
	noneFailed(t, apps)
	long.Tell(t, "close")
	long.MustEnd(t, world.Patience, "ends: map[echoed:1]")

	s.AwaitSaid(t, "secret changed", 2)
	if rejected := s.Said("a changed secret is not used"); len(rejected) != 2 ||
		!strings.Contains(rejected[0], "has no '='") || !strings.Contains(rejected[1], "restart the sidecar to use it") {
		t.Errorf("the log says %q", rejected)
	}
	f, _ := r.Scrape(t)
	wantFigures(t, "reloads", f.Since(nil, "hyco_secret_reloads_total"), map[string]float64{`{result="changed"}`: 2, `{result="rejected"}`: 2})
	for _, key := range []string{firstKey, secondKey, thirdKey} {
		if strings.Contains(s.Stderr.String(), key) {
			t.Error("a key is in the log")
		}
	}
	causes := make(map[string]int)
	for _, e := range s.Closed("") {
		causes[e.Cause]++
	}
	delete(causes, "closed")
	delete(causes, "app_gone")
	if len(causes) > 0 {
		t.Errorf("connections ended by %v", maps.Clone(causes))
	}
}

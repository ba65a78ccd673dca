package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
	*world
	relay *relay
	keys  string // file of the keys that the relay takes
	reads int
}

func newRotating(t *testing.T, keys ...string) *rotating {
	t.Helper()
	w := newWorld(t)
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	r := &rotating{world: w, keys: filepath.Join(w.dir, "keys")}
	writeFile(t, r.keys, strings.Join(keys, "\n"))
	r.relay = w.relay(t, contoso, "-personality", "halfclose", "-send-keys", r.keys, "echo-hc="+echoEndpoint+"@127.0.0.2:10007")
	return r
}

// takes makes the relay take these keys and no other.
func (r *rotating) takes(t *testing.T, keys ...string) {
	t.Helper()
	writeFile(t, r.keys, strings.Join(keys, "\n"))
	r.relay.signal(syscall.SIGHUP)
	r.reads++
	r.relay.await(t, &r.relay.stdout, patience, "the relay to take other keys", func(text string) bool {
		return strings.Count(text, "# keys read") == r.reads
	})
}

// with is the sender's connection string with another key.
func (r *rotating) with(key string) string {
	return withField(r.relay.connections[0].sender, "SharedAccessKey", key)
}

// arrivals lets apps come at fifty per second; come waits until so many more have.
func (r *rotating) arrivals(t *testing.T) (apps *process, come func(n int)) {
	t.Helper()
	apps = r.role(t, r.app, "arrivals", echoEndpoint)
	came := 0
	return apps, func(n int) {
		t.Helper()
		came += n
		apps.awaitText(t, fmt.Sprintf("%d came\n", came))
	}
}

// noneFailed ends the apps.
func noneFailed(t *testing.T, apps *process) {
	t.Helper()
	apps.tell(t, "enough")
	apps.mustEnd(t, patience, "ends: map[echoed:")
}

func (s *sidecar) said(message string) (lines []string) {
	for _, e := range s.entries() {
		if e.Msg == message {
			lines = append(lines, e.line)
		}
	}
	return lines
}

func (s *sidecar) awaitSaid(t *testing.T, message string, times int) {
	t.Helper()
	s.await(t, &s.stderr, patience, fmt.Sprintf("%q %d times", message, times), func(string) bool { return len(s.said(message)) >= times })
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
	needs(t, "curl")
	r := newRotating(t, firstKey, secondKey)
	s := r.sidecar(t, append(r.settings(t, r.relay.connections, r.relay.caFile), "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING="+r.with(secondKey))...)
	apps, come := r.arrivals(t)
	come(100)
	r.takes(t, secondKey)
	come(150)
	noneFailed(t, apps)
	if lines := s.said("the relay refused a credential, using the other"); len(lines) != 1 || !strings.Contains(lines[0], `"reason":"unauthorized"`) {
		t.Errorf("the log says %q", lines)
	}
	const labels = `{credential="%s",endpoint="` + echoEndpoint + `"}`
	f, text := r.scrape(t)
	if f["hyco_credential_in_use"+fmt.Sprintf(labels, "secondary")] != 1 || f["hyco_credential_in_use"+fmt.Sprintf(labels, "first")] != 0 ||
		f["hyco_credential_refused_total"+fmt.Sprintf(labels, "first")] < 1 {
		t.Errorf("the metrics say:\n%s", text)
	}
	if status := r.mustRun(t, r.app, command{}, "curl", "-sS", admin+"/api/status"); !strings.Contains(status, `"credential":"key defaultSender (secondary)"`) {
		t.Errorf("the status says %s", status)
	}
	check := r.mustRun(t, r.app, command{env: sidecarEnvironment(append(r.settings(t, r.relay.connections, r.relay.caFile), "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING="+r.with(secondKey)))},
		filepath.Join(r.programs, "hyco-sidecar"), "check", "--probe", "none")
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
	needs(t, "curl")
	r := newRotating(t, firstKey)
	file := secret{dir: filepath.Join(r.dir, "secret")}
	file.put(t, r.with(firstKey))
	settings := append(r.settings(t, nil, r.relay.caFile), "HYCO_CONNECTION_0_ENDPOINT="+echoEndpoint, "HYCO_CONNECTION_0_CONNECTION_STRING_FILE="+file.path())
	s := r.sidecar(t, settings...)
	long := r.crowd(t, "hold", 1, 1, echoEndpoint)
	long.awaitText(t, "all open")
	apps, come := r.arrivals(t)
	come(50)

	// In order: both keys are good for a while.
	r.takes(t, firstKey, secondKey)
	file.put(t, r.with(secondKey))
	s.awaitSaid(t, "secret changed", 1)
	r.takes(t, secondKey)
	come(100)

	// What makes no sense is not used.
	file.put(t, "Endpoint=sb://contoso.servicebus.example/;SharedAccessKeyName=defaultSender;SharedAccessKey")
	s.awaitSaid(t, "a changed secret is not used", 1)
	file.put(t, withField(r.with(thirdKey), "EntityPath", "orders-hc"))
	s.awaitSaid(t, "a changed secret is not used", 2)
	come(100)

	// In a hurry: the key is in the file, and the old one revoked the next moment.
	file.put(t, r.with(thirdKey))
	r.takes(t, thirdKey)
	come(100)
	noneFailed(t, apps)
	long.tell(t, "close")
	long.mustEnd(t, patience, "ends: map[echoed:1]")

	s.awaitSaid(t, "secret changed", 2)
	if rejected := s.said("a changed secret is not used"); len(rejected) != 2 ||
		!strings.Contains(rejected[0], "has no '='") || !strings.Contains(rejected[1], "restart the sidecar to use it") {
		t.Errorf("the log says %q", rejected)
	}
	f, _ := r.scrape(t)
	wantFigures(t, "reloads", f.since(nil, "hyco_secret_reloads_total"), map[string]float64{`{result="changed"}`: 2, `{result="rejected"}`: 2})
	for _, key := range []string{firstKey, secondKey, thirdKey} {
		if strings.Contains(s.stderr.String(), key) {
			t.Error("a key is in the log")
		}
	}
	causes := make(map[string]int)
	for _, e := range s.closed("") {
		causes[e.Cause]++
	}
	delete(causes, "closed")
	delete(causes, "app_gone")
	if len(causes) > 0 {
		t.Errorf("connections ended by %v", maps.Clone(causes))
	}
}

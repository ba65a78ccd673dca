package main

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/config"
)

// kept is a sidecar's credentials, whose connection strings are in two files.
type kept struct {
	*credentials
	first, other string // the files
	monitor      *admin.Monitor
	log          bytes.Buffer
}

func keep(t *testing.T) *kept {
	t.Helper()
	first, other := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "other")
	put(t, first, inFile("sql01-hc", "Zmlyc3Q="))
	put(t, other, inFile("api-hc", "b3RoZXI="))
	k := keepThose(t, []string{sql01, sql01File + first, api, apiFile + other}, func() {})
	k.first, k.other = first, other
	return k
}

// inFile is the connection string of a hybrid connection with a key.
func inFile(entity, key string) string {
	return "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=" + key + ";EntityPath=" + entity
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settle looks as the watcher does, until nothing is in doubt.
func (k *kept) settle(t *testing.T) {
	t.Helper()
	for range 3 {
		if !k.look(false) {
			return
		}
	}
	t.Error("it is never content")
}

// said compares the log since the last time with what each line has to hold.
func (k *kept) said(t *testing.T, want ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(k.log.String(), "\n"), "\n")
	if k.log.Len() == 0 {
		lines = nil
	}
	k.log.Reset()
	if len(lines) != len(want) {
		t.Errorf("got %q, want %q", lines, want)
		return
	}
	for i := range want {
		if !strings.Contains(lines[i], want[i]) {
			t.Errorf("got %s, want %s", lines[i], want[i])
		}
	}
}

func TestRejectedSecretIsToldOfOnce(t *testing.T) {
	k := keep(t)
	before := k.endpoints[0].sources[0]
	put(t, k.first, "Endpoint=sb://contoso")
	k.settle(t)
	k.said(t, `msg="a changed secret is not used" variable=HYCO_CONNECTION_0_CONNECTION_STRING`)
	k.settle(t)
	k.said(t)
	put(t, k.other, inFile("api-hc", "bmV3ZXI="))
	k.settle(t)
	k.said(t, `msg="secret changed" variable=HYCO_CONNECTION_1_CONNECTION_STRING endpoints=1`)
	put(t, k.first, inFile("orders-hc", "Zmlyc3Q="))
	k.settle(t)
	k.said(t, `next="restart the sidecar to use it; until then the old one is used"`)
	if k.endpoints[0].sources[0] != before {
		t.Error("a secret that was rejected has changed what is presented")
	}
	put(t, k.first, inFile("sql01-hc", "Zmlyc3Q="))
	k.settle(t)
	k.said(t) // it is the old one
	put(t, k.first, "Endpoint=sb://contoso")
	k.settle(t)
	k.said(t, "a changed secret is not used") // once more, for it was right meanwhile
}

func TestHalfWrittenSecretIsNotToldOf(t *testing.T) {
	for _, half := range []string{"", "Endpoint=sb://contoso"} {
		k := keep(t)
		put(t, k.first, half)
		k.look(true)
		if !k.look(false) {
			t.Errorf("%q: nobody looks again", half)
		}
		put(t, k.first, inFile("sql01-hc", "c2Vjb25k"))
		k.settle(t)
		k.said(t, `msg="secret changed" variable=HYCO_CONNECTION_0_CONNECTION_STRING`)
	}
}

func TestCredentialsAreShownByName(t *testing.T) {
	const endpoint = "HYCO_CONNECTION_0_ENDPOINT=sql01.corp.example:1433"
	first := "HYCO_CONNECTION_0_CONNECTION_STRING=" + inFile("sql01-hc", "Zmlyc3Q=")
	other := "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING="
	for _, test := range []struct{ secondary, want string }{
		{strings.Replace(inFile("sql01-hc", "b3RoZXI="), "send", "send2", 1), "key send, then key send2\n"},
		{signed("1800000000"), "key send, then shared access signature until 2027-01-15T08:00:00Z\n"},
	} {
		code, stdout, stderr := execute([]string{endpoint, first, other + test.secondary, "HYCO_DNS_UPSTREAMS=10.0.0.10"}, "config")
		if code != 0 || !strings.Contains(stdout, test.want) {
			t.Errorf("got %d\n%s%s\nwant %s", code, stdout, stderr, test.want)
		}
	}
}

// keepThose is keep for other settings, after which between happens to the files.
func keepThose(t *testing.T, environ []string, between func()) *kept {
	t.Helper()
	k := &kept{}
	cfg, err := config.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	between()
	k.credentials = newCredentials(environ, cfg, newIdentities(cfg, identity.Options{}), slog.New(slog.NewTextHandler(&k.log, nil)))
	k.monitor = admin.NewMonitor(admin.Options{Endpoints: describe(plan(cfg, nil))})
	k.tell(k.monitor)
	return k
}

// presents compares the key that an endpoint presents.
func (k *kept) presents(t *testing.T, endpoint int, key string) {
	t.Helper()
	if got := k.endpoints[endpoint].settings.Credential.Key.Reveal(); got != key {
		t.Errorf("endpoint %d presents %q, want %q", endpoint, got, key)
	}
}

const (
	sql01       = "HYCO_CONNECTION_0_ENDPOINT=sql01.corp.example:1433"
	sql01File   = "HYCO_CONNECTION_0_CONNECTION_STRING_FILE="
	sql01Second = "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING="
	api         = "HYCO_CONNECTION_1_ENDPOINT=api.corp.example:443"
	apiFile     = "HYCO_CONNECTION_1_CONNECTION_STRING_FILE="
)

// TestSecretThatChangesDuringTheStartIsUsed: between the settings being read and the
// first look there may be a discovery of many seconds.
func TestSecretThatChangesDuringTheStartIsUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, inFile("sql01-hc", "b2xk"))
	k := keepThose(t, []string{sql01, sql01File + file}, func() { put(t, file, inFile("sql01-hc", "bmV3")) })
	k.settle(t)
	k.presents(t, 0, "bmV3")
}

func TestSecretsDoNotBlockEachOther(t *testing.T) {
	first, other := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "other")
	put(t, first, inFile("sql01-hc", "b2xk"))
	put(t, other, inFile("api-hc", "b2xk"))
	k := keepThose(t, []string{sql01, sql01File + first, sql01Second + inFile("sql01-hc", "c2Vj"), api, apiFile + other}, func() {})
	put(t, first, inFile("sql01-hc", "c2Vj")) // the same as the secondary
	put(t, other, inFile("api-hc", "bmV3"))
	k.settle(t)
	k.presents(t, 0, "b2xk")
	k.presents(t, 1, "bmV3")
	k.said(t, `msg="secret changed" variable=HYCO_CONNECTION_1_CONNECTION_STRING`,
		`msg="a changed secret is not used" variable=HYCO_CONNECTION_0_CONNECTION_STRING error="HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING: it holds what`)
}

// TestSecretIsTriedAgainOnceNothingIsInTheWay: settings are read as a whole, and
// another file may be away for a moment.
func TestSecretIsTriedAgainOnceNothingIsInTheWay(t *testing.T) {
	file, ca := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "ca.pem")
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	put(t, ca, roots)
	put(t, file, inFile("sql01-hc", "b2xk"))
	k := keepThose(t, []string{sql01, sql01File + file, "HYCO_CA_FILE=" + ca}, func() {})
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	put(t, file, inFile("sql01-hc", "bmV3"))
	for range 3 {
		k.settle(t)
	}
	k.presents(t, 0, "b2xk")
	k.said(t, `msg="a changed secret is not used" variable=HYCO_CA_FILE`)
	put(t, ca, roots)
	k.settle(t)
	k.presents(t, 0, "bmV3")
}

func TestFileWithoutAKeyReplacesNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, test := range []struct {
		before, after string
		environ       []string
	}{
		{inFile("sql01-hc", "b2xk"), "Endpoint=sb://contoso.servicebus.windows.net/;EntityPath=sql01-hc", []string{sql01, sql01File + file}},
		{"Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=b2xk", "Endpoint=sb://contoso.servicebus.windows.net/;",
			[]string{"HYCO_ENDPOINTS=sql01.corp.example:1433=sql01-hc", "HYCO_CONNECTION_STRING_FILE=" + file}},
	} {
		put(t, file, test.before)
		k := keepThose(t, test.environ, func() {})
		put(t, file, test.after)
		k.settle(t)
		k.presents(t, 0, "b2xk")
		k.said(t, `error="it holds no key, as it did before"`)
	}
}

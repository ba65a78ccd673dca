package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/config"
)

const otherKey = "b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXktMTI="

var (
	portalOther    = strings.Replace(portal, key, otherKey, 1)
	namespaceOther = strings.Replace(namespace, key, otherKey, 1)
	identity       = "Endpoint=sb://contoso.servicebus.windows.net/;EntityPath=sql01-hc;Authentication=Managed Identity"
	bare           = "Endpoint=sb://contoso.servicebus.windows.net/;EntityPath=sql01-hc"
)

// one is a complete group, with what else is set.
func one(more ...string) []string {
	return append([]string{"HYCO_CONNECTION_0_ENDPOINT=sql01.corp.example:1433", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal}, more...)
}

func TestSecondKeyStandsBesideTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secondary")
	if err := os.WriteFile(path, []byte(portalOther), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, environ := range map[string][]string{
		"indexed":            one("HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING=" + portalOther),
		"from a file":        one("HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING_FILE=" + path),
		"without EntityPath": one("HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING=" + namespaceOther),
		"compact": {"HYCO_CONNECTION_STRING=" + namespace, "HYCO_ENDPOINTS=sql01.corp.example:1433=sql01-hc",
			"HYCO_SECONDARY_CONNECTION_STRING=" + namespaceOther},
	} {
		c := load(t, environ...).Connections[0]
		if c.Credential.Key.Reveal() != key || c.Secondary.Key.Reveal() != otherKey {
			t.Errorf("%s: other keys were read", name)
		}
	}
}

func TestFilesOfSecretsAreNamed(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for path, text := range map[string]string{first: portal, second: portalOther} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := load(t, "HYCO_CONNECTION_0_ENDPOINT=sql01.corp.example:1433", "HYCO_CONNECTION_0_CONNECTION_STRING_FILE="+first,
		"HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING_FILE="+second)
	if got := fmt.Sprint(c.SecretFiles); got != fmt.Sprint(map[string]string{"HYCO_CONNECTION_0_CONNECTION_STRING": first, "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING": second}) {
		t.Errorf("got %s", got)
	}
}

func TestSecondKeyFaults(t *testing.T) {
	const secondary = "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING"
	for _, test := range []struct{ name, text, want string }{
		{"the same key", portal, "it is identical to HYCO_CONNECTION_0_CONNECTION_STRING: write the rule's other key"},
		{"another namespace", strings.Replace(portalOther, "contoso", "fabrikam", 1), "Endpoint differs from the one in HYCO_CONNECTION_0_CONNECTION_STRING"},
		{"another entity", strings.Replace(portalOther, "sql01-hc", "api-hc", 1), "EntityPath differs from the one in HYCO_CONNECTION_0_CONNECTION_STRING"},
		{"no key", bare, "it has no key that could replace the one in HYCO_CONNECTION_0_CONNECTION_STRING"},
		{"nonsense", "x", "part 1 of the connection string has no '='"},
	} {
		_, err := config.Load(one(secondary + "=" + test.text))
		reports(t, err, secondary+": "+test.want)
	}
	_, err := config.Load([]string{"HYCO_SECONDARY_CONNECTION_STRING=" + namespaceOther})
	reports(t, err, "HYCO_ENDPOINTS: it is missing, so HYCO_SECONDARY_CONNECTION_STRING is not used")
}

func TestEntraIsChosenByTheStringOrTheSetting(t *testing.T) {
	for name, environ := range map[string][]string{
		"string":  {"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + identity},
		"spelt":   {"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + strings.Replace(identity, "Managed Identity", "managedidentity", 1)},
		"setting": {"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + bare, "HYCO_AUTH=entra"},
		"both":    {"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + identity, "HYCO_AUTH=Entra"},
		"compact": {"HYCO_ENDPOINTS=a:1", "HYCO_CONNECTION_STRING=" + bare, "HYCO_AUTH=entra"},
	} {
		c := load(t, environ...)
		if got := c.Connections[0].Credential; !got.Entra || got.String() != "Entra ID" || c.Entra == nil || c.Entra.Kind != config.ManagedIdentity {
			t.Errorf("%s: got %v, %+v", name, got, c.Entra)
		}
	}
	if c := load(t, "HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING="+bare); !c.Connections[0].Credential.None() || c.Entra != nil {
		t.Error("a string without a key is not anonymous")
	}
	c := load(t, "HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING="+portal,
		"HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING="+identity)
	if c.Entra == nil || !c.Connections[0].Secondary.Entra {
		t.Error("a second credential of Entra ID has no identity")
	}
}

func TestIdentityIsThatOfTheEnvironment(t *testing.T) {
	entra := []string{"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + identity}
	known := []string{"AZURE_TENANT_ID=tenant", "AZURE_CLIENT_ID=client"}
	for _, test := range []struct {
		environ []string
		want    config.IdentityKind
	}{
		{nil, config.ManagedIdentity},
		{known, config.ManagedIdentity},
		{append(known, "AZURE_FEDERATED_TOKEN_FILE=/var/run/token"), config.WorkloadIdentity},
		{append(known, "AZURE_CLIENT_SECRET=hidden"), config.ClientSecret},
		{append(known, "AZURE_CLIENT_CERTIFICATE_PATH=/cert.pem"), config.ClientCertificate},
	} {
		c := load(t, append(entra, test.environ...)...)
		if c.Entra.Kind != test.want || strings.Contains(fmt.Sprintf("%+v", c), "hidden") {
			t.Errorf("%v: got %+v", test.environ, c.Entra)
		}
	}

	_, err := config.Load(append(entra, "AZURE_CLIENT_SECRET=hidden", "AZURE_FEDERATED_TOKEN_FILE=/var/run/token", "AZURE_AUTHORITY_HOST=login.example"))
	reports(t, err,
		"AZURE_CLIENT_SECRET: AZURE_FEDERATED_TOKEN_FILE is set as well: keep one of the two",
		"AZURE_TENANT_ID: it is not set, but AZURE_FEDERATED_TOKEN_FILE needs it",
		"AZURE_CLIENT_ID: it is not set, but AZURE_FEDERATED_TOKEN_FILE needs it",
		"AZURE_AUTHORITY_HOST: it is not an https URL")
	load(t, one("AZURE_CLIENT_SECRET=hidden")...) // which nothing here reads
}

func TestTwoCredentialsInOnePlaceAreAFault(t *testing.T) {
	for _, test := range []struct {
		environ []string
		want    string
	}{
		{one("HYCO_AUTH=entra"), "HYCO_CONNECTION_0_CONNECTION_STRING: it contains SharedAccessKey, which HYCO_AUTH=entra excludes: remove the key, or remove HYCO_AUTH"},
		{[]string{"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + bare, "HYCO_AUTH=entra",
			"HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING=" + portal},
			"HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING: it contains SharedAccessKey, which HYCO_AUTH=entra excludes"},
		{[]string{"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal + ";Authentication=ManagedIdentity"},
			"HYCO_CONNECTION_0_CONNECTION_STRING: Authentication cannot be combined with SharedAccessKey or SharedAccessSignature: keep one of the two"},
		{one("HYCO_AUTH=aad"), `HYCO_AUTH: "aad" is not allowed: write connection-string or entra`},
	} {
		_, err := config.Load(test.environ)
		reports(t, err, test.want)
	}
}

func TestListenersAndTheirPorts(t *testing.T) {
	if got := load(t, one()...).Connections[0].Listener; got != config.HCM {
		t.Errorf("by default: got %s", got)
	}
	c := load(t, one("HYCO_CONNECTION_0_LISTENER=AzBridge", "HYCO_CONNECTION_0_PORT_NAME=sql")...).Connections[0]
	if c.Listener != config.Azbridge || c.PortName != "sql" {
		t.Errorf("got %s %s", c.Listener, c.PortName)
	}
	for _, test := range []struct{ listener, port, want string }{
		{"azbridge", "", "HYCO_CONNECTION_0_PORT_NAME: it is not set, but HYCO_CONNECTION_0_LISTENER=azbridge needs it: write"},
		{"aztunnel", "sql", "HYCO_CONNECTION_0_PORT_NAME: only azbridge has port names, and HYCO_CONNECTION_0_LISTENER is aztunnel"},
		{"", "sql", "HYCO_CONNECTION_0_PORT_NAME: only azbridge has port names, and HYCO_CONNECTION_0_LISTENER is hcm"},
		{"hcm2", "", `HYCO_CONNECTION_0_LISTENER: "hcm2" is not allowed: write hcm, azbridge or aztunnel`},
		{"azbridge", strings.Repeat("sql ", 64) + "x", "HYCO_CONNECTION_0_PORT_NAME: it is longer than 255 bytes"},
	} {
		_, err := config.Load(one("HYCO_CONNECTION_0_LISTENER="+test.listener, "HYCO_CONNECTION_0_PORT_NAME="+test.port))
		reports(t, err, test.want)
	}
}

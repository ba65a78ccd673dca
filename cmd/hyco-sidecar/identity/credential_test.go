package identity

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hyco-sidecar/config"
	standin "hyco-sidecar/test/fakeentra"
)

const (
	tenant   = "6f1d4f0e-2222-4c5e-8888-contoso00000"
	clientID = "0b9dd0b0-1111-4b5e-9999-orders000000"
	secret   = "s8Q~not.a.word-of_any_sentence"
	issuer   = "https://oidc.corp.example/cluster"
	subject  = "system:serviceaccount:shop:orders"
)

// cloudOf is Entra ID and a managed identity's endpoint, both stood in for, with
// everything that an identity needs to prove itself.
type cloudOf struct {
	*standin.Server
	roots       *x509.CertPool
	key         *rsa.PrivateKey // of the certificate and of the issuer
	certificate string          // files
	assertion   string
	managed     string // URL

	mu  sync.Mutex
	saw map[string][]string
}

func newCloud(t *testing.T) *cloudOf {
	t.Helper()
	c := &cloudOf{roots: x509.NewCertPool(), saw: make(map[string][]string)}
	dir := t.TempDir()
	c.certificate, c.assertion = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "assertion")
	var err error
	if c.key, err = standin.NewKey(); err != nil {
		t.Fatal(err)
	}
	certificate, both, err := standin.NewCertificate(c.key)
	if err != nil {
		t.Fatal(err)
	}
	c.Server = &standin.Server{
		Key: []byte("signs the tokens of this test"), Tenant: tenant, ClientID: clientID,
		Secret: secret, Certificate: certificate, Issuer: issuer, IssuerKey: c.key.Public(), Subject: subject, Header: "of the container app",
		Saw: func(kind, text string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.saw[kind] = append(c.saw[kind], text)
		},
	}
	c.write(t, c.certificate, both)
	c.assert(t, subject)
	entra := httptest.NewTLSServer(c.Entra())
	t.Cleanup(entra.Close)
	c.Authority = entra.URL
	c.roots.AddCert(entra.Certificate())
	managed := httptest.NewServer(c.Managed())
	t.Cleanup(managed.Close)
	c.managed = managed.URL
	return c
}

func (c *cloudOf) write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *cloudOf) assert(t *testing.T, subject string) {
	t.Helper()
	assertion, err := standin.NewAssertion(c.key, issuer, subject, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, c.assertion, []byte(assertion+"\n"))
}

// identity is one that the cloud knows.
func (c *cloudOf) identity(kind config.IdentityKind) *config.Entra {
	e := &config.Entra{Kind: kind, TenantID: tenant, ClientID: clientID, AuthorityHost: c.Authority}
	switch kind {
	case config.WorkloadIdentity:
		e.TokenFile = c.assertion
	case config.ClientSecret:
		e.Secret = config.NewSecret(secret)
	case config.ClientCertificate:
		e.Certificate = c.certificate
	case config.ManagedIdentity:
		e.TenantID = ""
	}
	return e
}

// first is what a Source's first Token says.
func (c *cloudOf) first(t *testing.T, e *config.Entra) (string, error) {
	t.Helper()
	s := New(e, "contoso.servicebus.windows.net", Options{RootCAs: c.roots})
	defer s.Close()
	return s.Token(t.Context(), "")
}

var kinds = []config.IdentityKind{config.WorkloadIdentity, config.ClientSecret, config.ClientCertificate, config.ManagedIdentity}

func TestEachIdentityGetsABareToken(t *testing.T) {
	c := newCloud(t)
	t.Setenv("IDENTITY_ENDPOINT", c.managed+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "of the container app")
	for _, kind := range kinds {
		token, err := c.first(t, c.identity(kind))
		if err != nil || !c.Accepts(token) {
			t.Errorf("%s: %q, %v", kind, token, err)
		}
	}
	system := c.identity(config.ManagedIdentity)
	system.ClientID = ""
	if token, err := c.first(t, system); err != nil || !c.Accepts(token) {
		t.Errorf("an identity of the machine's own: %q, %v", token, err)
	}
}

// TestATokenIsAskedForAnew fetches past the caches of azidentity.
func TestATokenIsAskedForAnew(t *testing.T) {
	c := newCloud(t)
	c.RefreshIn = time.Second
	t.Setenv("IDENTITY_ENDPOINT", c.managed+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "of the container app")
	for _, kind := range kinds {
		s := New(c.identity(kind), "contoso.servicebus.windows.net", Options{RootCAs: c.roots})
		first, err := s.Token(t.Context(), "")
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		tick := time.NewTicker(50 * time.Millisecond)
		for next := first; next == first; <-tick.C {
			if next, err = s.Token(t.Context(), ""); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if t.Context().Err() != nil {
				t.Fatalf("%s: no second token", kind)
			}
		}
		tick.Stop()
		s.Close()
	}
}

func TestAFileThatHasChangedIsReadAgain(t *testing.T) {
	c := newCloud(t)
	asked := newCredential(c.identity(config.WorkloadIdentity), "contoso.servicebus.windows.net", Options{RootCAs: c.roots})
	s := newSource(asked, Options{})
	defer s.Close()
	c.assert(t, "system:serviceaccount:shop:somebody")
	if _, err := s.Token(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "AADSTS700213") {
		t.Fatalf("Token with another's assertion: %v", err)
	}
	c.assert(t, subject)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := s.Token(t.Context(), ""); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the new assertion is not used")
		}
	}
}

func TestFailuresSayWhatIsWrong(t *testing.T) {
	c := newCloud(t)
	t.Setenv("IDENTITY_ENDPOINT", c.managed+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "of the container app")
	where := strings.TrimPrefix(c.Authority, "https://")
	local := strings.TrimPrefix(c.managed, "http://")
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	nobody.Close()
	empty := filepath.Join(t.TempDir(), "empty")
	c.write(t, empty, nil)

	for name, test := range map[string]struct {
		kind   config.IdentityKind
		change func(e *config.Entra)
		text   string
		want   Failure // but for the text
	}{
		"another secret": {config.ClientSecret, func(e *config.Entra) { e.Secret = config.NewSecret("another") },
			"Entra ID (" + where + ") answers with status 401: AADSTS7000215: Invalid client secret provided",
			Failure{Problem: Refused, Host: where, Code: "7000215"}},
		"another client": {config.ClientSecret, func(e *config.Entra) { e.ClientID = "somebody" },
			"Entra ID (" + where + ") answers with status 401: AADSTS700016: Application with identifier 'somebody' was not found in the directory",
			Failure{Problem: Refused, Host: where, Code: "700016"}},
		"another tenant": {config.WorkloadIdentity, func(e *config.Entra) { e.TenantID = "fabrikam" },
			"Entra ID (" + where + ") answers with status 401: AADSTS90002: Tenant 'fabrikam' not found",
			Failure{Problem: Refused, Host: where, Code: "90002"}},
		"a tenant that cannot be": {config.ClientSecret, func(e *config.Entra) { e.TenantID = "contoso/orders" },
			"the identity's settings cannot be used", Failure{Problem: WrongSettings}},
		"no assertion": {config.WorkloadIdentity, func(e *config.Entra) { e.TokenFile = "/nowhere/token" },
			"AZURE_FEDERATED_TOKEN_FILE: the file cannot be read: no such file or directory",
			Failure{Problem: FileUnreadable, Variable: "AZURE_FEDERATED_TOKEN_FILE"}},
		"an empty assertion": {config.WorkloadIdentity, func(e *config.Entra) { e.TokenFile = empty },
			"AZURE_FEDERATED_TOKEN_FILE: the file is empty", Failure{Problem: FileEmpty, Variable: "AZURE_FEDERATED_TOKEN_FILE"}},
		"no certificate": {config.ClientCertificate, func(e *config.Entra) { e.Certificate = "/nowhere/certificate.pem" },
			"AZURE_CLIENT_CERTIFICATE_PATH: the file cannot be read: no such file or directory",
			Failure{Problem: FileUnreadable, Variable: "AZURE_CLIENT_CERTIFICATE_PATH"}},
		"something else for a certificate": {config.ClientCertificate, func(e *config.Entra) { e.Certificate = c.assertion },
			"the file of AZURE_CLIENT_CERTIFICATE_PATH holds no certificate with its private key that can be read",
			Failure{Problem: NoCertificate, Variable: "AZURE_CLIENT_CERTIFICATE_PATH"}},
		"nobody there": {config.ClientSecret, func(e *config.Entra) { e.AuthorityHost = "https://" + closed },
			"Entra ID (" + closed + ") cannot be reached: dial tcp " + closed + ": connect: connection refused",
			Failure{Problem: Unreachable, Host: closed}},
		"another managed identity": {config.ManagedIdentity, func(e *config.Entra) { e.ClientID = "somebody" },
			"the managed identity's endpoint (" + local + ") answers with status 400: Identity not found",
			Failure{Problem: WrongIdentity, Managed: true, Host: local}},
	} {
		t.Run(name, func(t *testing.T) {
			e := c.identity(test.kind)
			test.change(e)
			c.expect(t, e, test.text, test.want)
		})
	}
	t.Run("a certificate that nobody vouches for", func(t *testing.T) {
		s := New(c.identity(config.ClientSecret), "contoso.servicebus.windows.net", Options{RootCAs: x509.NewCertPool()})
		defer s.Close()
		_, err := s.Token(t.Context(), "")
		if want := "Entra ID (" + where + ") cannot be reached: tls: failed to verify certificate: x509: certificate signed by unknown authority"; err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	})
	for _, test := range []struct {
		behaviour standin.Behaviour
		kind      config.IdentityKind
		text      string
		want      Failure // but for the text
	}{
		{standin.Failing, config.ClientSecret, "Entra ID (" + where + ") answers with status 503: AADSTS90033: A transient error has occurred", Failure{Problem: Busy, Host: where, Code: "90033"}},
		{standin.Failing, config.ManagedIdentity, "the managed identity's endpoint (" + local + ") answers with status 503: AADSTS90033: A transient error has occurred", Failure{Problem: Busy, Managed: true, Host: local, Code: "90033"}},
		{standin.Garbled, config.ManagedIdentity, "the managed identity's endpoint (" + local + ") answers with something that is not a token", Failure{Problem: NotAToken, Managed: true, Host: local}},
	} {
		c.Behave(test.behaviour)
		c.expect(t, c.identity(test.kind), test.text, test.want)
		c.Behave(standin.Orderly)
	}
}

func (c *cloudOf) expect(t *testing.T, e *config.Entra, text string, want Failure) {
	t.Helper()
	token, err := c.first(t, e)
	f, ok := errors.AsType[*Failure](err)
	if !ok || token != "" {
		t.Fatalf("Token: %q, %v", token, err)
	}
	want.text = text
	if *f != want {
		t.Errorf("got  %+v\nwant %+v", *f, want)
	}
}

// TestNoFailureShowsAProof meets endpoints that repeat what they were sent.
func TestNoFailureShowsAProof(t *testing.T) {
	c := newCloud(t)
	t.Setenv("IDENTITY_ENDPOINT", c.managed+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "of the container app")
	for _, behaviour := range []standin.Behaviour{standin.Leaking, standin.Garbled} {
		c.Behave(behaviour)
		for _, kind := range kinds {
			_, err := c.first(t, c.identity(kind))
			if err == nil {
				t.Fatalf("%s, %s: no error", behaviour, kind)
			}
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%s, %s: more than one line: %q", behaviour, kind, err)
			}
			c.mu.Lock()
			for what, texts := range c.saw {
				for _, text := range texts {
					if strings.Contains(err.Error(), text) || strings.Contains(err.Error(), text[:12]) {
						t.Errorf("%s, %s: the error shows a %s: %v", behaviour, kind, what, err)
					}
				}
			}
			c.mu.Unlock()
		}
	}
}

// TestNoFailureShowsWhatStandsInThePlaceOfAPath: the token itself, say.
func TestNoFailureShowsWhatStandsInThePlaceOfAPath(t *testing.T) {
	c := newCloud(t)
	for _, kind := range []config.IdentityKind{config.WorkloadIdentity, config.ClientCertificate} {
		e := c.identity(kind)
		e.TokenFile, e.Certificate = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "-----BEGIN PRIVATE KEY-----\nMIIEvQ"
		if _, err := c.first(t, e); err == nil || strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), "MII") {
			t.Errorf("%s: got %v", kind, err)
		}
	}
}

func TestEachCloudHasItsOwn(t *testing.T) {
	for namespace, want := range map[string][2]string{
		"contoso.servicebus.windows.net":       {"https://relay.azure.net", "login.microsoftonline.com"},
		"contoso.servicebus.windows.net:443":   {"https://relay.azure.net", "login.microsoftonline.com"},
		"contoso.servicebus.chinacloudapi.cn":  {"https://relay.chinacloudapi.cn", "login.chinacloudapi.cn"},
		"Contoso.ServiceBus.ChinaCloudAPI.cn":  {"https://relay.chinacloudapi.cn", "login.chinacloudapi.cn"},
		"contoso.servicebus.usgovcloudapi.net": {"https://relay.azure.net", "login.microsoftonline.us"},
		"relay.corp.example:8443":              {"https://relay.azure.net", "login.microsoftonline.com"},
	} {
		s := New(&config.Entra{Kind: config.ClientSecret}, namespace, Options{})
		if got := s.TokenStats().Audience; got != want[0] || s.Host() != want[1] {
			t.Errorf("%s: %s of %s, want %s of %s", namespace, got, s.Host(), want[0], want[1])
		}
		s = New(&config.Entra{Kind: config.ClientSecret, AuthorityHost: "https://login.corp.example/"}, namespace, Options{})
		if s.Host() != "login.corp.example" {
			t.Errorf("%s: AZURE_AUTHORITY_HOST does not win: %s", namespace, s.Host())
		}
	}
}

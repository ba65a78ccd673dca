package fakerelay_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"hyco-sidecar/test/fakerelay"
)

func parseCertificate(t testing.TB, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM: %q", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// .NET rejects a bundle in which subjects are equal.
func TestEachAuthorityHasItsOwnSubject(t *testing.T) {
	seen := map[string]bool{}
	for range 8 {
		_, ca, err := fakerelay.NewCertificate("localhost")
		if err != nil {
			t.Fatal(err)
		}
		subject := parseCertificate(t, ca).Subject.String()
		if seen[subject] {
			t.Errorf("%s twice", subject)
		}
		seen[subject] = true
	}
}

func TestAuthoritySurvivesItsEncoding(t *testing.T) {
	made, err := fakerelay.NewAuthority(time.Hour * 48)
	if err != nil {
		t.Fatal(err)
	}
	key, err := made.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	read, err := fakerelay.ParseAuthority(made.CertificatePEM(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := read.Issue(time.Hour*24, "contoso.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := fakerelay.CertificatePEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Error(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.CertificatePEM())
	for _, name := range []string{"contoso.example", "127.0.0.1"} {
		if _, err := parseCertificate(t, certPEM).Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	another, err := fakerelay.NewAuthority(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fakerelay.ParseAuthority(another.CertificatePEM(), key); err == nil {
		t.Error("the key of another authority was taken")
	}
	if _, err := fakerelay.ParseAuthority(certPEM, keyPEM); err == nil {
		t.Error("a server's certificate was taken for an authority")
	}
}

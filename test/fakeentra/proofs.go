package fakeentra

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// NewKey returns a key that may sign assertions.
func NewKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// NewCertificate returns a client certificate for key, and both as PEM, as
// AZURE_CLIENT_CERTIFICATE_PATH has them. It is good for a day.
func NewCertificate(key *rsa.PrivateKey) (*x509.Certificate, []byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "orders of contoso"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	var both bytes.Buffer
	for kind, block := range map[string][]byte{"CERTIFICATE": der, "PRIVATE KEY": private} {
		if err := pem.Encode(&both, &pem.Block{Type: kind, Bytes: block}); err != nil {
			return nil, nil, err
		}
	}
	return certificate, both.Bytes(), nil
}

// NewAssertion returns what a cluster writes into AZURE_FEDERATED_TOKEN_FILE for
// the subject, good for as long as is said.
func NewAssertion(key *rsa.PrivateKey, issuer, subject string, life time.Duration) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": issuer, "sub": subject, "aud": []string{"api://AzureADTokenExchange"},
		"iat": now.Unix(), "exp": now.Add(life).Unix(),
	}).SignedString(key)
}

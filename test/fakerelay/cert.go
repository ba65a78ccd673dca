package fakerelay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// NewCertificate makes a certificate authority of its own and a server
// certificate for hosts, which are DNS names and IP addresses. Both are valid from
// an hour ago for 24 h. The authority's key is forgotten: caPEM is all that a
// client needs.
func NewCertificate(hosts ...string) (cert tls.Certificate, caPEM []byte, err error) {
	const lifetime = 24 * time.Hour
	ca, err := NewAuthority(lifetime)
	if err != nil {
		return cert, nil, err
	}
	if cert, err = ca.Issue(lifetime, hosts...); err != nil {
		return cert, nil, err
	}
	return cert, ca.CertificatePEM(), nil
}

// Authority is a certificate authority (ECDSA P-256).
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that is valid from an hour ago for lifetime. Its
// subject is like no other's: .NET takes a bundle of authorities with equal subjects
// for a chain, and refuses it.
func NewAuthority(lifetime time.Duration) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("relay: make CA key: %w", err)
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("hyco-devrelay CA %x", serial.Bytes()[:4])},
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	validFor(template, lifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("relay: make CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("relay: make CA certificate: %w", err)
	}
	return &Authority{cert, key}, nil
}

// ParseAuthority takes an authority from what CertificatePEM and KeyPEM returned.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("relay: not the certificate and key of an authority")
	}
	return &Authority{pair.Leaf, key}, nil
}

// CertificatePEM is what clients have to trust.
func (a *Authority) CertificatePEM() []byte { return certificatePEM(a.cert.Raw) }

// KeyPEM is the secret that makes a into an authority.
func (a *Authority) KeyPEM() ([]byte, error) { return keyPEM(a.key) }

// NotAfter is when a ends.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Issue makes a server certificate for hosts, DNS names and IP addresses, that is
// valid from an hour ago for lifetime.
func (a *Authority) Issue(lifetime time.Duration, hosts ...string) (tls.Certificate, error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, errors.New("relay: a certificate needs a host")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("relay: make key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: hosts[0]},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	validFor(template, lifetime)
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("relay: make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// CertificatePEM encodes what Issue returned, to be read by tls.X509KeyPair.
func CertificatePEM(c tls.Certificate) (cert, key []byte, err error) {
	private, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || len(c.Certificate) == 0 {
		return nil, nil, errors.New("relay: not a certificate of Issue")
	}
	key, err = keyPEM(private)
	return certificatePEM(c.Certificate[0]), key, err
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("relay: encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func validFor(template *x509.Certificate, lifetime time.Duration) {
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(lifetime)
}

// newSerial is random, positive and of 16 bytes (RFC 5280 section 4.1.2.2).
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

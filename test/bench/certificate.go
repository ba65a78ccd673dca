package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"hyco-sidecar/test/fakerelay"
)

// The files of the one certificate that everything on the far side shows.
const (
	caFile   = "ca.pem"
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// writeCertificate makes the certificate for an IP address and writes it into dir.
func writeCertificate(dir, ip string) error {
	cert, caPEM, err := fakerelay.NewCertificate(ip)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return errors.Join(
		os.WriteFile(filepath.Join(dir, caFile), caPEM, 0o600),
		os.WriteFile(filepath.Join(dir, certFile), certPEM, 0o600),
		os.WriteFile(filepath.Join(dir, keyFile), keyPEM, 0o600),
	)
}

func serverCertificate(dir string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
}

func rootCAs(dir string) (*x509.CertPool, error) {
	caPEM, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return roots, nil
}

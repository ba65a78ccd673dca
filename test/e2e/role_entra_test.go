package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"hyco-sidecar/test/fakeentra"
	"hyco-sidecar/test/fakelistener"
	standin "hyco-sidecar/test/fakerelay"
)

// What the stand-ins of Entra ID know of their one identity.
const (
	entraTenant  = "contoso.example"
	entraClient  = "0b9dd0b0-1111-4b5e-9999-c0a7050c0de0"
	entraSecret  = "s8Q~not.a.word-of_any_sentence"
	entraHeader  = "f1a9-the-header-of-this-container-app"
	entraIssuer  = "https://oidc.contoso.example/cluster"
	entraSubject = "system:serviceaccount:shop:orders"
	entraHost    = "login.contoso.example:8446"
)

// entraKey signs tokens, wherever they are made.
var entraKey = []byte("signs the tokens of these tests")

// newIdentity is a stand-in that prints every proof and every token on stdout. Its
// behaviour is what is written to stdin, a line each, and is printed in turn.
func newIdentity(life, refreshIn string) (*fakeentra.Server, error) {
	s := &fakeentra.Server{
		Key: entraKey, Authority: "https://" + entraHost, Tenant: entraTenant, ClientID: entraClient,
		Secret: entraSecret, Issuer: entraIssuer, Subject: entraSubject, Header: entraHeader,
		Saw: func(kind, text string) { fmt.Printf("saw %s %s\n", kind, text) },
	}
	var err, err2 error
	s.Lifetime, err = time.ParseDuration(life)
	s.RefreshIn, err2 = time.ParseDuration(refreshIn)
	return s, errors.Join(err, err2)
}

// obey reads behaviours until stdin ends; "relay refuses" and "relay accepts" are
// for the relay.
func obey(s *fakeentra.Server, refuses *atomic.Bool) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch line := lines.Text(); line {
		case "relay refuses", "relay accepts":
			refuses.Store(line == "relay refuses")
		default:
			s.Behave(fakeentra.Behaviour(line))
		}
		fmt.Println("now", lines.Text())
	}
}

// playCloud is a relay that takes tokens of Entra ID alone, with a Hybrid
// Connection Manager, and Entra ID. Its arguments are a directory for the files
// ca.pem, certificate.pem and assertion, the target's address, and how long
// tokens last and are left alone.
func playCloud(args []string) error {
	dir, target := args[0], args[1]
	s, err := newIdentity(args[2], args[3])
	if err != nil {
		return err
	}
	key, err := fakeentra.NewKey()
	if err != nil {
		return err
	}
	clientCertificate, both, err := fakeentra.NewCertificate(key)
	if err != nil {
		return err
	}
	assertion, err := fakeentra.NewAssertion(key, entraIssuer, entraSubject, time.Hour)
	if err != nil {
		return err
	}
	s.Certificate, s.IssuerKey = clientCertificate, key.Public()
	certificate, ca, err := standin.NewCertificate("contoso.servicebus.example", "login.contoso.example")
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"ca.pem": ca, "certificate.pem": both, "assertion": []byte(assertion)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}

	var refuses atomic.Bool
	rule := standin.Rule{Name: "defaultListener", Key: "of the listener alone", Listen: true}
	hybrid := standin.Entity{Path: "orders-hc", Rules: []standin.Rule{rule}}
	relay := &standin.Server{
		Certificate: certificate, Entities: []standin.Entity{hybrid},
		Bearer: func(token string) bool { return !refuses.Load() && s.Accepts(token) },
	}
	atRelay, err := net.Listen("tcp", siteAddress+":443")
	if err != nil {
		return err
	}
	atEntra, err := net.Listen("tcp", siteAddress+":8446")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	ends := make(chan error, 3)
	online := make(chan struct{}, 100)
	go func() { ends <- relay.Serve(context.Background(), atRelay) }()
	go func() {
		ends <- (&http.Server{Handler: s.Entra(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}).ServeTLS(atEntra, "", "")
	}()
	go func() {
		ends <- (&fakelistener.Listener{
			ConnectionString: standin.ConnectionString("contoso.servicebus.example", hybrid, rule),
			RootCAs:          roots, RelayAddress: atRelay.Addr().String(),
			Online: func() { online <- struct{}{} },
			Dial: func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", target)
			},
		}).Serve(context.Background())
	}()
	go obey(s, &refuses)
	select {
	case <-online:
		listening(atRelay)
	case err := <-ends:
		return err
	}
	return <-ends
}

// playManaged is a managed identity's endpoint. Its arguments are the address, and
// how long tokens last and are left alone.
func playManaged(args []string) error {
	s, err := newIdentity(args[1], args[2])
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	go obey(s, new(atomic.Bool))
	listening(ln)
	return http.Serve(ln, s.Managed())
}

// keyOf is the private key in a PEM file, as its base64 stands there: what must
// not be printed.
func keyOf(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "PRIVATE KEY" {
			return string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: block.Bytes}))[20:84], nil
		}
	}
	return "", errors.New("no key in " + file)
}

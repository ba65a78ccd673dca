//go:build linux

package role

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
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
	"hyco-sidecar/test/fakerelay"
)

// What the stand-ins of Entra ID know of their one identity, and where Entra ID is.
const (
	EntraHost   = "login.contoso.example:8446"
	EntraTenant = "contoso.example"
	EntraClient = "0b9dd0b0-1111-4b5e-9999-c0a7050c0de0"
	EntraSecret = "s8Q~not.a.word-of_any_sentence"
	EntraHeader = "f1a9-the-header-of-this-container-app" // of a managed identity's request

	entraIssuer  = "https://oidc.contoso.example/cluster"
	entraSubject = "system:serviceaccount:shop:orders"
)

// entraKey signs tokens, wherever they are made.
var entraKey = []byte("signs the tokens of these tests")

// newIdentity is a stand-in that prints every proof and every token on stdout. It
// behaves as the latest line on stdin says.
func newIdentity(life, refreshIn string) (*fakeentra.Server, error) {
	s := &fakeentra.Server{
		Key: entraKey, Authority: "https://" + EntraHost, Tenant: EntraTenant, ClientID: EntraClient,
		Secret: EntraSecret, Issuer: entraIssuer, Subject: entraSubject, Header: EntraHeader,
		Saw: func(kind, text string) { fmt.Printf("saw %s %s\n", kind, text) },
	}
	var err, err2 error
	s.Lifetime, err = time.ParseDuration(life)
	s.RefreshIn, err2 = time.ParseDuration(refreshIn)
	return s, errors.Join(err, err2)
}

// takeInstructions reads behaviours until stdin ends; "relay refuses" and "relay
// accepts" are for the relay.
func takeInstructions(s *fakeentra.Server, refuses *atomic.Bool) {
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

// playCloud is a relay that takes tokens of Entra ID alone, at port 443, with a
// Hybrid Connection Manager, and Entra ID at port 8446. Its arguments are the IP
// address of both, a directory for the files ca.pem, certificate.pem and assertion,
// the target's address, how long tokens last, and after how long they are to be
// renewed.
func playCloud(args []string) error {
	address, dir, target := args[0], args[1], args[2]
	s, err := newIdentity(args[3], args[4])
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
	certificate, ca, err := fakerelay.NewCertificate("contoso.servicebus.example", "login.contoso.example")
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"ca.pem": ca, "certificate.pem": both, "assertion": []byte(assertion)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}

	var refuses atomic.Bool
	rule := fakerelay.Rule{Name: "defaultListener", Key: "of the listener alone", Listen: true}
	hybrid := fakerelay.Entity{Path: "orders-hc", Rules: []fakerelay.Rule{rule}}
	relay := &fakerelay.Server{
		Certificate: certificate, Entities: []fakerelay.Entity{hybrid},
		Bearer: func(token string) bool { return !refuses.Load() && s.Accepts(token) },
	}
	atRelay, err := net.Listen("tcp", address+":443")
	if err != nil {
		return err
	}
	atEntra, err := net.Listen("tcp", address+":8446")
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
			ConnectionString: fakerelay.ConnectionString("contoso.servicebus.example", hybrid, rule),
			RootCAs:          roots, RelayAddress: atRelay.Addr().String(),
			Online: func() { online <- struct{}{} },
			Dial: func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", target)
			},
		}).Serve(context.Background())
	}()
	go takeInstructions(s, &refuses)
	select {
	case <-online:
		listening(atRelay)
	case err := <-ends:
		return err
	}
	return <-ends
}

// playManaged is a managed identity's endpoint. Its arguments are the address, how
// long tokens last, and after how long they are to be renewed.
func playManaged(args []string) error {
	s, err := newIdentity(args[1], args[2])
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	go takeInstructions(s, new(atomic.Bool))
	listening(ln)
	return http.Serve(ln, s.Managed())
}

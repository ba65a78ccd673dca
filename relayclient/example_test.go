package relayclient_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// The far side sees the end of the question and answers after it.
func ExampleClient_Dial() {
	namespace, roots, stop := localRelay()
	defer stop()

	client := &relayclient.Client{Namespace: namespace, RootCAs: roots}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := client.Dial(ctx, relayclient.Request{
		Entity: "orders-hc",
		Tokens: relayclient.NewSASKey("send", "a secret"),
	})
	if err != nil {
		log.Print(err) // a *relayclient.DialError
		return
	}
	defer conn.Close()

	io.WriteString(conn, "three crates")
	conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s, %v\n", answer, err)
	// Output: three crates, <nil>
}

// The secondary key is presented when the primary one is refused, and from then on.
func ExampleNewRollover() {
	rollover := relayclient.NewRollover(
		relayclient.NewSASKey("primary", "a secret"),
		relayclient.NewSASKey("secondary", "another secret"),
	)
	rollover.Hooks.Using = func(credential int, why *relayclient.DialError) {
		log.Printf("credential %d is used from now on: %v", credential, why)
	}
	req := relayclient.Request{Entity: "orders-hc", Tokens: rollover}
	fmt.Println(req.Entity, rollover.Using())
	// Output: orders-hc 0
}

// A program that has something to do when a goroutine panics wraps them all.
func ExampleClient_guard() {
	_ = &relayclient.Client{
		Namespace: "contoso.servicebus.windows.net",
		Proxy:     http.ProxyFromEnvironment,
		Guard: func(f func()) func() {
			return func() {
				defer func() {
					if v := recover(); v != nil {
						log.Fatalf("a goroutine panicked: %v", v)
					}
				}()
				f()
			}
		},
	}
}

// localRelay is a relay on this machine, with a listener in front of a server that sends
// back what it gets.
func localRelay() (namespace string, roots *x509.CertPool, stop func()) {
	cert, ca, err := fakerelay.NewCertificate("localhost")
	if err != nil {
		log.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	listen := fakerelay.Rule{Name: "listen", Key: "its secret", Listen: true}
	entity := fakerelay.Entity{Path: "orders-hc", Rules: []fakerelay.Rule{{Name: "send", Key: "a secret", Send: true}, listen}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	namespace = fmt.Sprintf("localhost:%d", ln.Addr().(*net.TCPAddr).Port)
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	relay := &fakerelay.Server{Certificate: cert, Entities: []fakerelay.Entity{entity}}
	running.Go(func() { _ = relay.Serve(ctx, ln) })
	running.Go(func() {
		for {
			c, err := target.Accept()
			if err != nil {
				return
			}
			echo(c.(*net.TCPConn))
		}
	})
	online := make(chan struct{}, 1)
	listener := &fakelistener.Listener{
		ConnectionString: fakerelay.ConnectionString(namespace, entity, listen),
		RootCAs:          roots,
		Personality:      fakelistener.HalfClose,
		Dial:             func(context.Context) (net.Conn, error) { return net.Dial("tcp", target.Addr().String()) },
		Online:           func() { online <- struct{}{} },
	}
	running.Go(func() { _ = listener.Serve(ctx) })
	<-online
	return namespace, roots, func() {
		cancel()
		target.Close()
		running.Wait()
	}
}

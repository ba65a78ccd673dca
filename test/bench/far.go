package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// The far side of the sidecar: the stand-in relay and its listeners, in two
// processes, each of which holds two sockets for every connection.

// personalities are the listeners, each of a hybrid connection of that name.
// Both lead to the same target.
var personalities = []fakelistener.Personality{fakelistener.HCM, fakelistener.HalfClose}

func entity(p fakelistener.Personality) fakerelay.Entity {
	return fakerelay.Entity{Path: string(p), Rules: []fakerelay.Rule{
		{Name: "send", Key: "c2VuZA==", Send: true},
		{Name: "listen", Key: "bGlzdGVu", Listen: true},
	}}
}

// connectionString is a sender's, for a relay reached at address.
func connectionString(address string, p fakelistener.Personality) string {
	e := entity(p)
	return fakerelay.ConnectionString(address, e, e.Rules[0])
}

// playRelay is given the folder of the certificate, and "p384" when only that
// key exchange is to be taken.
func playRelay(args []string) error {
	cert, err := serverCertificate(args[0])
	if err != nil {
		return err
	}
	server := &fakerelay.Server{Certificate: cert}
	for _, p := range personalities {
		server.Entities = append(server.Entities, entity(p))
	}
	if len(args) > 1 && args[1] == "p384" {
		server.Curves = []tls.CurveID{tls.CurveP384}
	}
	ln, err := openPort()
	if err != nil {
		return err
	}
	listening(ln)
	return server.Serve(context.Background(), ln)
}

// playListener is given the folder of the certificate, the relay's address and
// the target's. It listens on nothing, and prints the relay's address once all
// its listeners are registered there.
func playListener(args []string) error {
	roots, err := rootCAs(args[0])
	if err != nil {
		return err
	}
	relayAddress, target := args[1], args[2]
	var online sync.WaitGroup
	failed := make(chan error, len(personalities))
	for _, p := range personalities {
		e := entity(p)
		online.Add(1)
		l := &fakelistener.Listener{
			ConnectionString: fakerelay.ConnectionString(relayAddress, e, e.Rules[1]),
			RootCAs:          roots,
			Personality:      p,
			Online:           sync.OnceFunc(online.Done),
			Dial: func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", target)
			},
		}
		go func() { failed <- l.Serve(context.Background()) }() // until the process is killed
	}
	go func() {
		online.Wait()
		fmt.Println(listeningText + relayAddress)
	}()
	return <-failed
}

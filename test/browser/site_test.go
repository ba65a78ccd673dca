package browser_test

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// site is a relay, a listener that can be stopped, and its target, which
// sends back what it gets.
type site struct {
	relay   *fakerelay.Server
	address string // of the relay
	caFile  string
	entity  fakerelay.Entity
	sends   fakerelay.Rule
	hears   fakerelay.Rule
	roots   *x509.CertPool
	target  string // host:port
}

func newSite(t *testing.T) *site {
	t.Helper()
	cert, caPEM, err := fakerelay.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		caFile: filepath.Join(t.TempDir(), "ca.pem"),
		entity: fakerelay.Entity{Path: "sql01-hc"},
		sends:  fakerelay.Rule{Name: "defaultSender", Key: "c2VuZA==", Send: true},
		hears:  fakerelay.Rule{Name: "defaultListener", Key: "bGlzdGVu", Listen: true},
		roots:  x509.NewCertPool(),
	}
	s.roots.AppendCertsFromPEM(caPEM)
	if err := os.WriteFile(s.caFile, caPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	s.relay = &fakerelay.Server{Certificate: cert, Rules: []fakerelay.Rule{s.sends, s.hears}, Entities: []fakerelay.Entity{s.entity}}
	ln := listen(t)
	s.address = ln.Addr().String()
	background(t, func(ctx context.Context) error { return s.relay.Serve(ctx, ln) })
	s.target = echo(t)
	return s
}

// startListener puts a listener before the target, until stop is called, which
// waits until the relay knows.
func (s *site) startListener(t *testing.T) (stop func()) {
	t.Helper()
	online := make(chan struct{}, 1)
	l := &fakelistener.Listener{
		ConnectionString: fakerelay.ConnectionString(s.address, s.entity, s.hears),
		RootCAs:          s.roots,
		Personality:      fakelistener.HalfClose,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.target)
		},
		Online: func() {
			select {
			case online <- struct{}{}:
			default: // nobody waits for the second time
			}
		},
	}
	end := background(t, l.Serve)
	select {
	case <-online:
	case <-time.After(patience):
		t.Fatal("the listener does not come online")
	}
	return func() {
		t.Helper()
		end()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		deadline := time.Now().Add(patience)
		for s.relay.ListenerCount(s.entity.Path) > 0 {
			if time.Now().After(deadline) {
				t.Fatal("the relay still knows the listener")
			}
			<-tick.C
		}
	}
}

// background runs serve until stop is called, which waits for its end, or the
// test ends.
func background(t *testing.T, serve func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// echo serves a target that sends back what it gets, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // it ends as the test likes
			}()
		}
	}()
	return ln.Addr().String()
}

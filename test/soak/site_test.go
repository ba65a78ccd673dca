package soak_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"testing"
	"time"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// site is the far side: the relay, and for each lane a hybrid connection with
// one listener.
type site struct {
	server      *fakerelay.Server
	address     string // of the relay
	caPEM       []byte
	roots       *x509.CertPool
	sends, hear fakerelay.Rule
	lanes       []*lane

	stop func() // ends the relay and waits for it
}

// newSite starts everything. It ends with the test.
func newSite(t *testing.T, lanes int) *site {
	t.Helper()
	cert, caPEM, err := fakerelay.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		address: "127.0.0.1:0",
		caPEM:   caPEM,
		roots:   x509.NewCertPool(),
		sends:   fakerelay.Rule{Name: "defaultSender", Key: "c2VuZA==", Send: true},
		hear:    fakerelay.Rule{Name: "defaultListener", Key: "bGlzdGVu", Listen: true},
	}
	s.roots.AppendCertsFromPEM(caPEM)
	s.server = &fakerelay.Server{Certificate: cert, Rules: []fakerelay.Rule{s.sends, s.hear}, Fault: s.fault}
	personalities := []fakelistener.Personality{fakelistener.HCM, fakelistener.HalfClose, fakelistener.NodeLike}
	for i := range lanes {
		l := &lane{entity: fmt.Sprintf("lane%02d-hc", i), personality: personalities[i%len(personalities)]}
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.targets = ln.(*net.TCPListener)
		t.Cleanup(func() { l.targets.Close() })
		s.lanes = append(s.lanes, l)
		s.server.AddEntity(fakerelay.Entity{Path: l.entity})
	}
	if err := s.startRelay(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	for _, l := range s.lanes {
		s.startListener(l)
		t.Cleanup(func() { l.stop() })
	}
	if err := s.awaitListeners(t.Context(), s.lanes, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

// startRelay serves on the address it had before.
func (s *site) startRelay() error {
	ln, err := net.Listen("tcp4", s.address)
	if err != nil {
		return err
	}
	s.address = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.server.Serve(ctx, ln) // nil, as it ends with ctx
	}()
	s.stop = func() { cancel(); <-served }
	return nil
}

func (s *site) startListener(l *lane) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	one := &fakelistener.Listener{
		ConnectionString: fakerelay.ConnectionString(s.address, fakerelay.Entity{Path: l.entity}, s.hear),
		RootCAs:          s.roots,
		Personality:      l.personality,
		Dial:             l.dial,
	}
	go func() {
		defer close(served)
		_ = one.Serve(ctx) // the settings are right, and nothing else is an error
	}()
	l.stop = func() { cancel(); <-served }
}

// awaitListeners waits until each lane has so many listeners.
func (s *site) awaitListeners(ctx context.Context, lanes []*lane, count int) error {
	return poll(ctx, fmt.Sprintf("%d listeners for each lane", count), func() bool {
		for _, l := range lanes {
			if s.server.ListenerCount(l.entity) != count {
				return false
			}
		}
		return true
	})
}

// outage lets happen take something away that lanes need and put it back; the
// lanes are out of order until all works again.
func (s *site) outage(ctx context.Context, lanes []*lane, happen func() error) error {
	for _, l := range lanes {
		l.begin()
	}
	if err := happen(); err != nil {
		return err
	}
	if err := s.awaitListeners(ctx, lanes, 1); err != nil {
		return err
	}
	for _, l := range lanes {
		l.finish()
	}
	return nil
}

// loseRelay takes the relay away for so long.
func (s *site) loseRelay(ctx context.Context, length time.Duration) error {
	return s.outage(ctx, s.lanes, func() error {
		s.stop()
		pause(ctx, length)
		return s.startRelay()
	})
}

// loseListeners takes the listeners of lanes away for so long.
func (s *site) loseListeners(ctx context.Context, lanes []*lane, length time.Duration) error {
	return s.outage(ctx, lanes, func() error {
		for _, l := range lanes {
			l.stop()
		}
		pause(ctx, length)
		// One that is gone must not be counted for the one to come.
		if err := s.awaitListeners(ctx, lanes, 0); err != nil {
			return err
		}
		for _, l := range lanes {
			s.startListener(l)
		}
		return nil
	})
}

// fault is asked by the relay for each attempt to connect.
func (s *site) fault(c fakerelay.Connect) fakerelay.Fault {
	for _, l := range s.lanes {
		if l.entity == c.Entity {
			if connection := l.noteMet(c.ID); connection != nil {
				return connection.attempt(c.ID)
			}
		}
	}
	return fakerelay.Fault{}
}

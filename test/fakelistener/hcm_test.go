package fakelistener_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// TestHCMTellsOfAClosedTargetAtTheSecondWrite: a target that has closed takes a first
// request without a word, and answers a second one with a reset, which is what makes
// Hybrid Connection Manager close (recording hcm/d2-target-closed-app-reuses).
func TestHCMTellsOfAClosedTargetAtTheSecondWrite(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{}, &fakerelay.Server{})
	c, target := s.joined()
	send(t, c, "first")
	wantBytes(t, target, "first")
	target.Close()
	p := &player{t: t, c: c, got: make(chan frame, 10)}
	go p.receive()
	p.wantSilence()
	send(t, c, "second")
	p.wantSilence()
	send(t, c, "third")
	f, ok := p.next()
	if code, reason := ws.ParseCloseFrameData(f.payload); !ok || f.op != ws.OpClose || code != 1000 || reason != "CloseAsync" {
		t.Errorf("got %v %q", f.op, f.payload)
	}
}

// TestListenersDieWithoutAClose: a listener's death is the loss of its connections, in
// every personality.
func TestListenersDieWithoutAClose(t *testing.T) {
	for _, personality := range []fakelistener.Personality{fakelistener.HCM, fakelistener.HalfClose, fakelistener.NodeLike} {
		t.Run(string(personality), func(t *testing.T) {
			s := newSite(t, &fakelistener.Listener{Personality: personality}, &fakerelay.Server{})
			c, target := s.joined()
			send(t, c, "hello")
			wantBytes(t, target, "hello")
			s.die()
			wantGone(t, c)
		})
	}
}

// TestHCMServiceTakesItsTargetFromTheMetadata: what .NET reads of the relay's answer has
// to name the endpoint, or the service does not come up.
func TestHCMServiceTakesItsTargetFromTheMetadata(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for name, test := range map[string]struct{ metadata, fails string }{
		"an endpoint":  {metadata: `[{"key":"endpoint","value":"` + target.Addr().String() + `"}]`},
		"none":         {fails: "metadata name no endpoint"},
		"another form": {metadata: "sql01.corp.example:1433", fails: "metadata name no endpoint"},
		"no port":      {metadata: `[{"key":"endpoint","value":"sql01.corp.example"}]`, fails: "metadata name no endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			e := orders
			e.UserMetadata = test.metadata
			first := &fakelistener.Listener{Personality: fakelistener.NeverRendezvous}
			newSite(t, first, &fakerelay.Server{Entities: []fakerelay.Entity{e}})
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			service := &fakelistener.Listener{Personality: fakelistener.HCMService, ConnectionString: first.ConnectionString, RelayAddress: first.RelayAddress, RootCAs: first.RootCAs, Online: stop}
			err := service.Serve(ctx)
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got %v, want %q", err, test.fails)
			}
		})
	}
}

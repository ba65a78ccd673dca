//go:build linux

package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// TestListenerAndRelayMayDieUnderLoad kills the listener, and then the relay's
// front, while connections carry data both ways: each is a reset, nothing is left
// of them, and new ones work as soon as what died is back.
func TestListenerAndRelayMayDieUnderLoad(t *testing.T) {
	t.Parallel()
	world.Needs(t)
	const (
		connections = 50
		address     = world.SiteAddress + ":443"
		target      = "127.0.0.2:10020"
		endpoint    = "load.corp.example:20"
	)
	w := world.New(t)
	w.Serve(t, w.Site, "exchange", target)
	relay := w.Relay(t, []string{"-listen", world.SiteAddress + ":8443", "-host", "contoso.servicebus.example"}, "load-hc")
	load := relay.Entity(t, "load-hc", endpoint)
	load.Sender = world.WithField(load.Sender, "Endpoint", "sb://contoso.servicebus.example/")
	listener := func() *world.Process {
		p := w.Role(t, w.Site, "listener", load.Listener, relay.CAFile, "halfclose", target)
		p.AwaitText(t, "online")
		return p
	}
	// The front stands for the relay, which has a new certificate at every start.
	front := func() *world.Process { return w.Serve(t, w.Site, "front", address, world.SiteAddress+":8443") }

	online, open := listener(), front()
	settings := append(w.Settings(t, []world.Connection{load}, relay.CAFile), "HYCO_LOG_LEVEL=debug") // a line for each
	s := w.Sidecar(t, settings...)
	works := func() {
		t.Helper()
		c := w.Client(t, endpoint)
		c.MustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", role.PatternSum(0, 65536)))
		c.MustDo(t, "reset", "ok")
	}
	works()
	logged := 1
	s.AwaitClosed(t, endpoint, logged)
	// What the first connection makes once, such as a poller, is no leak.
	before := s.Descriptors(t)

	for _, part := range []struct {
		name string
		kill *world.Process
		back func() *world.Process
	}{{"Listener", online, listener}, {"Relay", open, front}} {
		t.Run(part.name, func(t *testing.T) {
			apps := w.Crowd(t, "exchange", connections, connections, endpoint)
			apps.AwaitText(t, "all open")
			part.kill.End(syscall.SIGKILL)
			apps.MustEnd(t, world.Patience, fmt.Sprintf("ends: map[reset:%d]", connections))
			part.back()
			returned := time.Now()
			works()
			if took := time.Since(returned); took > 5*time.Second {
				t.Errorf("the first connection took %v", took)
			}
			s.AwaitClosed(t, endpoint, logged+connections+1)
			for _, e := range s.Closed(endpoint)[logged:][:connections] {
				if e.Cause != "tunnel_dropped" {
					t.Errorf("logged: %s", e.Line)
				}
			}
			logged += connections + 1
			world.Eventually(t, world.Patience, fmt.Sprintf("no more than %d descriptors open", before), func() bool {
				return s.Descriptors(t) <= before
			})
		})
	}
}

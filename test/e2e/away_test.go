package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestListenerAndRelayMayDieUnderLoad kills the listener, and then the relay's
// front, while connections carry data both ways: each is a reset, nothing is left
// of them, and new ones work as soon as what died is back.
func TestListenerAndRelayMayDieUnderLoad(t *testing.T) {
	t.Parallel()
	needs(t)
	const (
		connections = 50
		address     = siteAddress + ":443"
		target      = "127.0.0.2:10020"
		endpoint    = "load.corp.example:20"
	)
	w := newWorld(t)
	w.serve(t, w.site, "exchange", target)
	relay := w.relay(t, []string{"-listen", siteAddress + ":8443", "-host", "contoso.servicebus.example"}, "load-hc")
	load := relay.entity(t, "load-hc", endpoint)
	load.sender = withField(load.sender, "Endpoint", "sb://contoso.servicebus.example/")
	listener := func() *process {
		p := w.role(t, w.site, "listener", load.listener, relay.caFile, "halfclose", target)
		p.awaitText(t, "online")
		return p
	}
	// The front stands for the relay, which has a new certificate at every start.
	front := func() *process { return w.serve(t, w.site, "front", address, siteAddress+":8443") }

	online, open := listener(), front()
	settings := append(w.settings(t, []connection{load}, relay.caFile), "HYCO_LOG_LEVEL=debug") // a line for each
	s := w.sidecar(t, settings...)
	works := func() {
		t.Helper()
		c := w.client(t, endpoint)
		c.mustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", patternSum(0, 65536)))
		c.mustDo(t, "reset", "ok")
	}
	works()
	logged := 1
	s.awaitClosed(t, endpoint, logged)
	// What the first connection makes once, such as a poller, is no leak.
	before := descriptors(t, s.process)

	for _, part := range []struct {
		name string
		kill *process
		back func() *process
	}{{"Listener", online, listener}, {"Relay", open, front}} {
		t.Run(part.name, func(t *testing.T) {
			apps := w.crowd(t, "exchange", connections, connections, endpoint)
			apps.awaitText(t, "all open")
			part.kill.end(syscall.SIGKILL)
			apps.mustEnd(t, patience, fmt.Sprintf("ends: map[reset:%d]", connections))
			part.back()
			returned := time.Now()
			works()
			if took := time.Since(returned); took > 5*time.Second {
				t.Errorf("the first connection took %v", took)
			}
			s.awaitClosed(t, endpoint, logged+connections+1)
			for _, e := range s.closed(endpoint)[logged:][:connections] {
				if e.Cause != "tunnel_dropped" {
					t.Errorf("logged: %s", e.line)
				}
			}
			logged += connections + 1
			eventually(t, patience, fmt.Sprintf("no more than %d descriptors open", before), func() bool {
				return descriptors(t, s.process) <= before
			})
		})
	}
}

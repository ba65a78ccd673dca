//go:build linux

package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// TestFailedDialsAreResets has one sidecar with everything that can be wrong
// about a hybrid connection, and one that is right and must go on.
func TestFailedDialsAreResets(t *testing.T) {
	world.Needs(t, "curl")
	const budget = 3 * time.Second
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "garbage", world.SiteAddress+":8001")
	w.Serve(t, w.Site, "silent", world.SiteAddress+":8002")
	garbageCA := filepath.Join(w.Dir, "garbage.pem")
	w.Serve(t, w.Site, "garbage-tls", world.SiteAddress+":8003", garbageCA)
	relay := w.Relay(t, world.Contoso,
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"nobody-hc")
	never := w.Relay(t, world.Fabrikam, "-personality", "never-rendezvous",
		"never-hc=never.corp.example:80@127.0.0.2:18080")
	reject := w.Relay(t, world.Northwind, "-personality", "reject",
		"reject-hc=reject.corp.example:80@127.0.0.2:18080")

	good := relay.Connections[0]
	elsewhere := func(endpoint, host string) world.Connection {
		return world.Connection{Endpoint: endpoint, Sender: world.WithField(good.Sender, "Endpoint", "sb://"+host+"/")}
	}
	wrongKey := world.Connection{Endpoint: "wrongkey.corp.example:80", Sender: world.WithField(good.Sender, "SharedAccessKey", "bm90IHRoZSBrZXk=")}
	missing := world.Connection{Endpoint: "missing.corp.example:80", Sender: world.WithField(good.Sender, "EntityPath", "missing-hc")}
	settings := w.Settings(t, []world.Connection{
		good,
		relay.Entity(t, "nobody-hc", "nobody.corp.example:80"),
		never.Connections[0],
		reject.Connections[0],
		wrongKey,
		missing,
		elsewhere("garbage.corp.example:80", "contoso.servicebus.example:8001"),
		elsewhere("silent.corp.example:80", "contoso.servicebus.example:8002"),
		elsewhere("garbagetls.corp.example:80", "example.com:8003"),
		elsewhere("refused.corp.example:80", "contoso.servicebus.example:8004"),
		elsewhere("unknown.corp.example:80", "nobody.servicebus.example"),
	}, relay.CAFile, never.CAFile, reject.CAFile, garbageCA)
	sidecar := w.Sidecar(t, append(settings, "HYCO_CONNECT_TIMEOUT="+budget.String())...)

	cases := []struct {
		host   string
		status int    // of the relay's answer, 0 when there is none
		says   string // in the line's error, phrase or next step
		atOnce bool   // trying again would not help
	}{
		{host: "nobody.corp.example", status: 404, says: "no listener"},
		{host: "never.corp.example"},
		{host: "reject.corp.example", atOnce: true},
		{host: "wrongkey.corp.example", status: 401, atOnce: true},
		{host: "missing.corp.example", status: 404, says: "Endpoint does not exist"},
		{host: "garbage.corp.example"},
		{host: "silent.corp.example"},
		{host: "garbagetls.corp.example"},
		{host: "refused.corp.example"},
		{host: "unknown.corp.example"},
	}
	// All at once, as their budgets would add up otherwise.
	clients := make([]*world.Client, len(cases))
	for i, c := range cases {
		clients[i] = w.Attempt(t, c.host+":80")
	}
	r := w.Run(t, w.App, world.Command{}, "curl", "-sS", "http://orders.corp.example:8080/")
	if r.Code != 0 || r.Took > budget {
		t.Errorf("the good one, meanwhile: exit code %d after %v: %s", r.Code, r.Took, r.Stderr)
	}
	for i, c := range cases {
		t.Run(c.host, func(t *testing.T) {
			if got := clients[i].Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
				t.Errorf("the app saw %q, want a reset", got)
			}
			got := sidecar.AwaitClosed(t, c.host+":80", 1)
			if got.Cause != "dial_failed" || got.Status != c.status && c.status != 0 ||
				got.Error == "" || got.Stage == "" || got.Next == "" || !strings.Contains(strings.ToLower(got.Line), strings.ToLower(c.says)) {
				t.Errorf("want dial_failed, status %d and %q with the next step; logged: %s", c.status, c.says, got.Line)
			}
			if c.status != 0 && !strings.HasPrefix(got.TrackingID, got.ID) {
				t.Errorf("tracking_id %q is not about this connection: %s", got.TrackingID, got.Line)
			}
			took, err := time.ParseDuration(got.Took)
			if err != nil || took > budget+2*time.Second || c.atOnce && took > budget/2 {
				t.Errorf("it took %q (%v), the budget is %v; at once: %t", got.Took, err, budget, c.atOnce)
			}
			if n := len(sidecar.Closed(c.host + ":80")); n != 1 {
				t.Errorf("%d lines for one connection, want 1", n)
			}
		})
	}
	t.Run("TwoConnectionsWithAWrongKeyAreTwoLines", func(t *testing.T) {
		if got := w.Attempt(t, wrongKey.Endpoint).Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("the app saw %q, want a reset", got)
		}
		sidecar.AwaitClosed(t, wrongKey.Endpoint, 2)
		if n := strings.Count(sidecar.Stderr.String(), `"status":401`); n != 2 {
			t.Errorf("401 was logged %d times for two connections", n)
		}
	})
}

// TestAppThatLeavesEndsTheDial resets while a silent relay has 30 s to answer.
func TestAppThatLeavesEndsTheDial(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	w.Serve(t, w.Site, "silent", world.SiteAddress+":8002")
	sidecar := w.Sidecar(t,
		"HYCO_CONNECTION_0_ENDPOINT=silent.corp.example:80",
		"HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example:8002/;SharedAccessKeyName=defaultSender;SharedAccessKey=c2VuZA==;EntityPath=silent-hc",
	)
	c := w.Client(t, "silent.corp.example:80")
	c.MustDo(t, "write SELECT 1", "ok")
	c.MustDo(t, "reset", "ok")
	got := sidecar.AwaitClosed(t, "silent.corp.example:80", 1)
	took, err := time.ParseDuration(got.Took)
	if got.Cause != "app_gave_up" || err != nil || took > 5*time.Second {
		t.Errorf("want app_gave_up within moments; logged: %s", got.Line)
	}
}

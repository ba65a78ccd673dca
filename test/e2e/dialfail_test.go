package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFailedDialsAreResets has one sidecar with everything that can be wrong
// about a hybrid connection, and one that is right and must go on.
func TestFailedDialsAreResets(t *testing.T) {
	needs(t, "curl")
	const budget = 3 * time.Second
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.serve(t, w.site, "garbage", siteAddress+":8001")
	w.serve(t, w.site, "silent", siteAddress+":8002")
	garbageCA := filepath.Join(w.dir, "garbage.pem")
	w.serve(t, w.site, "garbage-tls", siteAddress+":8003", garbageCA)
	relay := w.relay(t, contoso,
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"nobody-hc")
	never := w.relay(t, fabrikam, "-personality", "never-rendezvous",
		"never-hc=never.corp.example:80@127.0.0.2:18080")
	reject := w.relay(t, northwind, "-personality", "reject",
		"reject-hc=reject.corp.example:80@127.0.0.2:18080")

	good := relay.connections[0]
	elsewhere := func(endpoint, host string) connection {
		return connection{endpoint: endpoint, sender: withField(good.sender, "Endpoint", "sb://"+host+"/")}
	}
	wrongKey := connection{endpoint: "wrongkey.corp.example:80", sender: withField(good.sender, "SharedAccessKey", "bm90IHRoZSBrZXk=")}
	missing := connection{endpoint: "missing.corp.example:80", sender: withField(good.sender, "EntityPath", "missing-hc")}
	settings := w.settings(t, []connection{
		good,
		relay.entity(t, "nobody-hc", "nobody.corp.example:80"),
		never.connections[0],
		reject.connections[0],
		wrongKey,
		missing,
		elsewhere("garbage.corp.example:80", "contoso.servicebus.example:8001"),
		elsewhere("silent.corp.example:80", "contoso.servicebus.example:8002"),
		elsewhere("garbagetls.corp.example:80", "example.com:8003"),
		elsewhere("refused.corp.example:80", "contoso.servicebus.example:8004"),
		elsewhere("unknown.corp.example:80", "nobody.servicebus.example"),
	}, relay.caFile, never.caFile, reject.caFile, garbageCA)
	sidecar := w.sidecar(t, append(settings, "HYCO_CONNECT_TIMEOUT="+budget.String())...)

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
	clients := make([]*client, len(cases))
	for i, c := range cases {
		clients[i] = w.attempt(t, c.host+":80")
	}
	r := w.run(t, w.app, command{}, "curl", "-sS", "http://orders.corp.example:8080/")
	if r.code != 0 || r.took > budget {
		t.Errorf("the good one, meanwhile: exit code %d after %v: %s", r.code, r.took, r.stderr)
	}
	for i, c := range cases {
		t.Run(c.host, func(t *testing.T) {
			if got := clients[i].answer(t, patience); got != "ECONNRESET after 0 bytes" {
				t.Errorf("the app saw %q, want a reset", got)
			}
			got := sidecar.awaitClosed(t, c.host+":80", 1)
			if got.Cause != "dial_failed" || got.Status != c.status && c.status != 0 ||
				got.Error == "" || got.Stage == "" || got.Next == "" || !strings.Contains(strings.ToLower(got.line), strings.ToLower(c.says)) {
				t.Errorf("want dial_failed, status %d and %q with the next step; logged: %s", c.status, c.says, got.line)
			}
			if c.status != 0 && !strings.HasPrefix(got.TrackingID, got.ID) {
				t.Errorf("tracking_id %q is not about this connection: %s", got.TrackingID, got.line)
			}
			took, err := time.ParseDuration(got.Took)
			if err != nil || took > budget+2*time.Second || c.atOnce && took > budget/2 {
				t.Errorf("it took %q (%v), the budget is %v; at once: %t", got.Took, err, budget, c.atOnce)
			}
			if n := len(sidecar.closed(c.host + ":80")); n != 1 {
				t.Errorf("%d lines for one connection, want 1", n)
			}
		})
	}
	t.Run("TwoConnectionsWithAWrongKeyAreTwoLines", func(t *testing.T) {
		if got := w.attempt(t, wrongKey.endpoint).answer(t, patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("the app saw %q, want a reset", got)
		}
		sidecar.awaitClosed(t, wrongKey.endpoint, 2)
		if n := strings.Count(sidecar.stderr.String(), `"status":401`); n != 2 {
			t.Errorf("401 was logged %d times for two connections", n)
		}
	})
}

// TestAppThatLeavesEndsTheDial resets while a silent relay has 30 s to answer.
func TestAppThatLeavesEndsTheDial(t *testing.T) {
	needs(t)
	w := newWorld(t)
	w.serve(t, w.site, "silent", siteAddress+":8002")
	sidecar := w.sidecar(t,
		"HYCO_CONNECTION_0_ENDPOINT=silent.corp.example:80",
		"HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example:8002/;SharedAccessKeyName=defaultSender;SharedAccessKey=c2VuZA==;EntityPath=silent-hc",
	)
	c := w.client(t, "silent.corp.example:80")
	c.mustDo(t, "write SELECT 1", "ok")
	c.mustDo(t, "reset", "ok")
	got := sidecar.awaitClosed(t, "silent.corp.example:80", 1)
	took, err := time.ParseDuration(got.Took)
	if got.Cause != "app_gave_up" || err != nil || took > 5*time.Second {
		t.Errorf("want app_gave_up within moments; logged: %s", got.line)
	}
}

package sidecar

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
	"hyco-sidecar/forwarder"
)

// settings are those of endpoints of one namespace, as HYCO_ENDPOINTS lists them.
func settings(t *testing.T, endpoints ...string) plan.Plan {
	t.Helper()
	cfg, err := config.Load([]string{
		"HYCO_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0LWtleQ==",
		"HYCO_ENDPOINTS=" + strings.Join(endpoints, ","),
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.New(cfg, nil)
}

// follow applies p with listeners that nobody serves, and returns what the forwarder
// would be given.
func follow(t *testing.T, s *Sidecar, p plan.Plan) []forwarder.Listener {
	t.Helper()
	change := plan.Compare(s.now, p)
	listeners, err := s.apply(p, change, make([]net.Listener, len(change.Added)))
	if err != nil {
		t.Fatal(err)
	}
	return listeners
}

// TestEveryPartTakesItsShareOfAPlan: the start is the difference from no plan, and what
// follows is a difference as well.
func TestEveryPartTakesItsShareOfAPlan(t *testing.T) {
	const sql, api = "sql01.corp.example:1433", "api.corp.example:443"
	first := settings(t, sql+"=sql01-hc")
	s := New(first, Options{Logger: slog.New(slog.DiscardHandler)})
	if len(s.monitor.Status().Endpoints) != 0 {
		t.Error("a part knows of endpoints before it was told")
	}
	listeners := follow(t, s, first)
	if len(listeners) != 1 || listeners[0].Target != sql || listeners[0].Traffic != s.monitor.Traffic(sql) {
		t.Errorf("the forwarder gets %v", listeners)
	}
	before := s.routes.table().named[sql]
	if before.tokens != s.credentials.Tokens(sql) || before.traffic != s.monitor.Traffic(sql) {
		t.Errorf("the route is %+v", before)
	}
	before.traffic.Up.Add(7)

	listeners = follow(t, s, settings(t, api+"=api-hc", sql+"=sql01b-hc"))
	if len(listeners) != 1 || listeners[0].Target != api {
		t.Errorf("the forwarder gets %v, want what is new alone", listeners)
	}
	now := s.routes.table().named[sql]
	if now.Entity != "sql01b-hc" || now.client != before.client || now.tokens != before.tokens || now.traffic != before.traffic {
		t.Errorf("an endpoint that stays has lost what it had: %+v, before %+v", now, before)
	}
	if s.routes.table().named[api].client != now.client {
		t.Error("endpoints of a namespace do not share its client")
	}
	var names []string
	for _, e := range s.monitor.Status().Endpoints {
		names = append(names, e.Name+" "+e.Entity)
	}
	if !slices.Equal(names, []string{api + " api-hc", sql + " sql01b-hc"}) || s.monitor.Status().Endpoints[1].Up != 7 {
		t.Errorf("the monitor shows %q", names)
	}

	follow(t, s, settings(t, api+"=api-hc"))
	if _, err := s.routes.dial(context.Background(), forwarder.Request{Target: sql}); err == nil || !strings.Contains(err.Error(), "has been removed") {
		t.Errorf("dialling an endpoint that has gone: %v", err)
	}
	if s.credentials.Tokens(sql) != nil || len(s.monitor.Status().Endpoints) != 1 {
		t.Error("a part still has an endpoint that has gone")
	}
}

// TestAClientGoesWithTheLastEndpointOfItsNamespace, and so does not keep connections
// ready for nobody.
func TestAClientGoesWithTheLastEndpointOfItsNamespace(t *testing.T) {
	p := settings(t, "sql01.corp.example:1433=sql01-hc")
	s := New(p, Options{Logger: slog.New(slog.DiscardHandler)})
	follow(t, s, p)
	other := p
	other.Endpoints = slices.Clone(p.Endpoints)
	other.Endpoints[0].Namespace = "fabrikam.servicebus.windows.net"
	follow(t, s, other)
	if clients := s.routes.table().clients; len(clients) != 1 || clients["fabrikam.servicebus.windows.net"] == nil {
		t.Errorf("the clients are %v", clients)
	}
}

func TestCapturedConnectionsAreKnownByTheirLane(t *testing.T) {
	at := netip.MustParseAddrPort
	s := New(plan.Plan{}, Options{Logger: slog.New(slog.DiscardHandler)})
	s.routes.apply([]plan.Endpoint{{Name: "sql01.corp.example:1433", Listen: at("10.1.2.3:1433"), Arrive: at("127.0.0.1:15001")}},
		func(e plan.Endpoint) route { return route{Endpoint: e} })
	if got := s.routes.destination(at("127.0.0.1:15001")); got != at("10.1.2.3:1433") {
		t.Errorf("the app connected to %v", got)
	}
	if got := s.routes.destination(at("127.0.0.1:15002")); got != at("127.0.0.1:15002") || s.routes.arriveAt(got) {
		t.Errorf("what is no lane leads to %v", got)
	}
}

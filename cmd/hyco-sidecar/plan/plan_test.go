package plan

import (
	"net/netip"
	"slices"
	"testing"

	"hyco-sidecar/config"
)

func TestRelaysAreNamedAsTheResolverIsAsked(t *testing.T) {
	got := New(config.Config{Connections: []config.Connection{
		{Namespace: "contoso.servicebus.windows.net"},
		{Namespace: "fabrikam.servicebus.example:8443"},
	}}, nil).Relays()
	if want := []string{"contoso.servicebus.windows.net", "fabrikam.servicebus.example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCapturedEndpointsArriveInTheirLanes(t *testing.T) {
	cfg := config.Config{CapturePort: 15001, Connections: []config.Connection{
		{Host: "sql01.corp.example", Port: 1433, Address: netip.MustParseAddr("127.77.1.1")},
		{Host: "10.1.2.3", Port: 80, Address: netip.MustParseAddr("10.1.2.3"), Literal: true},
	}}
	p := New(cfg, nil)
	for _, e := range p.Endpoints {
		if e.Arrive != e.Listen || p.Capture != nil {
			t.Errorf("%s is not captured, and arrives at %v in place of %v", e.Name, e.Arrive, e.Listen)
		}
	}
	cfg.Capture = config.Redirect
	p = New(cfg, nil)
	for _, e := range p.Endpoints {
		if e.Arrive != p.Capture.To(e.Listen) || e.Arrive.Port() != cfg.CapturePort {
			t.Errorf("%s arrives at %v", e.Name, e.Arrive)
		}
	}
	var named []string
	for name := range p.Names() {
		named = append(named, name)
	}
	if !slices.Equal(named, []string{"sql01.corp.example"}) {
		t.Errorf("the resolver gets %q: an endpoint that is an address has no name", named)
	}
}

func TestCompareTellsWhatHasToHappen(t *testing.T) {
	at := func(name, addr, entity string) Endpoint {
		a := netip.MustParseAddrPort(addr)
		return Endpoint{Name: name, Listen: a, Arrive: a, Connection: config.Connection{Entity: entity}}
	}
	sql, api, moved := at("sql:1", "127.77.1.1:1", "sql-hc"), at("api:2", "127.77.1.2:2", "api-hc"), at("sql:1", "127.77.1.3:1", "sql-hc")
	rekeyed := at("sql:1", "127.77.1.1:1", "other-hc")
	for _, test := range []struct {
		name                 string
		from, to             []Endpoint
		added, removed, kept []Endpoint
	}{
		{"the start", nil, []Endpoint{sql, api}, []Endpoint{sql, api}, nil, nil},
		{"nothing", []Endpoint{sql, api}, []Endpoint{api, sql}, nil, nil, []Endpoint{api, sql}},
		{"one comes, one goes", []Endpoint{sql}, []Endpoint{api}, []Endpoint{api}, []Endpoint{sql}, nil},
		{"another address", []Endpoint{sql, api}, []Endpoint{moved, api}, []Endpoint{moved}, []Endpoint{sql}, []Endpoint{api}},
		{"another hybrid connection", []Endpoint{sql}, []Endpoint{rekeyed}, nil, nil, []Endpoint{rekeyed}},
		{"the end", []Endpoint{sql}, nil, nil, []Endpoint{sql}, nil},
	} {
		d := Compare(Plan{Endpoints: test.from}, Plan{Endpoints: test.to})
		for _, list := range []struct {
			name      string
			got, want []Endpoint
		}{{"added", d.Added, test.added}, {"removed", d.Removed, test.removed}, {"kept", d.Kept, test.kept}} {
			same := func(a, b Endpoint) bool { return placeOf(a) == placeOf(b) && a.Entity == b.Entity }
			if !slices.EqualFunc(list.got, list.want, same) {
				t.Errorf("%s: %s %v, want %v", test.name, list.name, list.got, list.want)
			}
		}
	}
}

func TestReachableIsOfThisMachine(t *testing.T) {
	for at, want := range map[string]string{
		"0.0.0.0:53": "127.0.0.1:53", "[::]:53": "[::1]:53", "127.0.0.2:53": "127.0.0.2:53", "10.1.2.3:53": "10.1.2.3:53",
	} {
		if got := Reachable(netip.MustParseAddrPort(at)); got != netip.MustParseAddrPort(want) {
			t.Errorf("%s: got %v, want %s", at, got, want)
		}
	}
}

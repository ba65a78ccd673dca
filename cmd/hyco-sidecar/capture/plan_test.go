package capture

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func at(texts ...string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, text := range texts {
		all = append(all, netip.MustParseAddrPort(text))
	}
	return all
}

func TestEveryEndpointHasAPlaceOfItsOwn(t *testing.T) {
	p := NewPlan(at("127.77.1.2:1433", "127.77.1.2:80", "10.1.2.3:80", "10.1.2.3:443", "127.0.0.2:80", "[fd00::5]:80", "[fd00::5]:443"), 8479)
	for from, want := range map[string]string{
		"10.1.2.3:80":     "127.0.0.1:8479",
		"10.1.2.3:443":    "127.0.0.3:8479", // 127.0.0.2 is a stand-in
		"127.0.0.2:80":    "127.0.0.2:8479",
		"127.77.1.2:80":   "127.77.1.2:8479",
		"127.77.1.2:1433": "127.0.0.4:8479",
		"[fd00::5]:80":    "[::1]:8479",
		"[fd00::5]:443":   "[::1]:8480",
	} {
		if got := p.To(netip.MustParseAddrPort(from)); got.String() != want {
			t.Errorf("%s arrives at %s, want %s", from, got, want)
		}
	}
	if p.Canary.To.String() != "127.0.0.5:8479" {
		t.Errorf("the canary arrives at %s", p.Canary.To)
	}
	if got := p.To(netip.MustParseAddrPort("10.1.2.3:81")); got.IsValid() {
		t.Errorf("what is no endpoint arrives at %s", got)
	}
}

func TestPlansOfTheSameEndpointsAreTheSame(t *testing.T) {
	endpoints := at("127.77.1.2:1433", "10.1.2.3:80", "[fd00::5]:80", "127.77.1.2:80")
	want := NewPlan(endpoints, 8479)
	slices.Reverse(endpoints)
	if got := NewPlan(endpoints, 8479); !slices.Equal(got.Lanes, want.Lanes) || got.Canary != want.Canary {
		t.Errorf("in another order: got %v, want %v", got, want)
	}
	canaries := map[netip.AddrPort]string{want.Canary.From: "the plan"}
	for name, other := range map[string]Plan{
		"another port":     NewPlan(endpoints, 8480),
		"an endpoint less": NewPlan(endpoints[1:], 8479),
		"another endpoint": NewPlan(append(at("10.1.2.4:80"), endpoints[1:]...), 8479),
	} {
		if same, ok := canaries[other.Canary.From]; ok {
			t.Errorf("%s and %s have one canary", name, same)
		}
		canaries[other.Canary.From] = name
	}
}

func TestThousandsOfEndpointsFindPlaces(t *testing.T) {
	var endpoints []netip.AddrPort
	for i := range 4000 {
		endpoints = append(endpoints, at(fmt.Sprintf("10.1.%d.%d:80", i>>8, i&0xff), fmt.Sprintf("127.77.%d.%d:80", i>>8, i&0xff), fmt.Sprintf("[fd00::%x]:80", i))...)
	}
	p := NewPlan(endpoints, 65000) // from where IPv6 ports go round
	places := map[netip.AddrPort]bool{p.Canary.To: true}
	for _, l := range p.Lanes {
		if places[l.To] || !l.To.Addr().IsLoopback() || l.To.Port() == 0 {
			t.Fatalf("%s arrives at %s, which is another's or none", l.From, l.To)
		}
		places[l.To] = true
	}
}

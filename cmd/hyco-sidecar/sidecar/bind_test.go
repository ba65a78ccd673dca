package sidecar

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

func TestEveryAddressThatCannotBeBoundIsReported(t *testing.T) {
	wildcard, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer wildcard.Close()
	exact, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer exact.Close()
	at := func(ln net.Listener, addr string) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(addr), ln.Addr().(*net.TCPAddr).AddrPort().Port())
	}
	named := func(name string, listen netip.AddrPort) plan.Endpoint {
		return plan.Endpoint{Name: name, Listen: listen, Arrive: listen, Connection: config.Connection{Variable: "HYCO_CONNECTION_7_ENDPOINT"}}
	}
	_, err = bind(t.Context(), plan.Plan{Config: config.Config{DNSListen: []netip.AddrPort{at(exact, "127.0.0.1")}}}, []plan.Endpoint{
		named("api.corp.example:80", at(wildcard, "127.77.1.1")),
		named("far.corp.example:80", netip.MustParseAddrPort("192.0.2.1:80")),
		named("good.corp.example:80", netip.MustParseAddrPort("127.77.1.2:0")),
	})
	if err == nil {
		t.Fatal("bound all the same")
	}
	for _, want := range []string{
		"3 of the addresses cannot be bound:\n",
		"\n  HYCO_DNS_LISTEN: tcp " + at(exact, "127.0.0.1").String() + ": another process in this network namespace has it: stop that process",
		"\n  endpoint api.corp.example:80 (HYCO_CONNECTION_7_ENDPOINT): tcp " + at(wildcard, "127.77.1.1").String() +
			": another process in this network namespace listens on " + at(wildcard, "0.0.0.0").String() + ", which takes port",
		"\n  endpoint far.corp.example:80 (HYCO_CONNECTION_7_ENDPOINT): tcp 192.0.2.1:80: it is not an address of this machine",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the report lacks %q:\n%v", want, err)
		}
	}
}

func TestNoPortOfOursIsCaptured(t *testing.T) {
	exact, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := exact.Addr().(*net.TCPAddr).AddrPort()
	exact.Close()
	lanes := capture.NewPlan([]netip.AddrPort{own}, 0)
	_, err = bind(t.Context(), plan.Plan{Config: config.Config{AdminListen: []netip.AddrPort{own}}, Capture: &lanes}, []plan.Endpoint{{
		Name: "a.corp.example:8477", Listen: own, Arrive: netip.MustParseAddrPort("127.77.1.2:0"), Connection: config.Connection{Variable: "HYCO_CONNECTION_7_ENDPOINT"},
	}})
	if err == nil || !strings.Contains(err.Error(), "(HYCO_CONNECTION_7_ENDPOINT): tcp "+own.String()+": the sidecar itself listens there (HYCO_ADMIN_LISTEN), and would be captured") {
		t.Errorf("got %v", err)
	}
}

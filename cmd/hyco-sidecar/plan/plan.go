// Package plan derives from the settings what the sidecar is to do: which endpoints
// there are, where the app connects to each and where that is accepted, which
// resolvers other names go to, and what the program says of its version.
//
// A [Plan] is a value: it holds no socket, client or token, starts nothing, and two
// plans can be compared ([Compare]). The package owns none of what it names. It asks
// this machine three things that the settings do not say: the nameservers of
// resolv.conf, the machine's own addresses, and the proxy variables.
package plan

import (
	"iter"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
)

// Plan is what one set of settings makes of the sidecar. It is not changed once made.
type Plan struct {
	// Config are the settings that it was derived from, their endpoints discovered.
	Config config.Config
	// Endpoints are in the order of the settings.
	Endpoints []Endpoint
	// Upstreams are the resolvers for names that are not configured; without one those
	// get SERVFAIL.
	Upstreams []netip.AddrPort
	// Capture says where captured connections arrive; nil means that none are captured and
	// the endpoints' own addresses are bound.
	Capture *capture.Plan
}

// New derives the plan from settings in which every endpoint is known, and from what
// [Upstreams] said.
func New(cfg config.Config, upstreams []netip.AddrPort) Plan {
	p := Plan{Config: cfg, Upstreams: upstreams, Endpoints: make([]Endpoint, 0, len(cfg.Connections))}
	for _, c := range cfg.Connections {
		at := netip.AddrPortFrom(c.Address, c.Port)
		p.Endpoints = append(p.Endpoints, Endpoint{Name: Name(c), Listen: at, Arrive: at, Connection: c})
	}
	if cfg.Capture == config.Redirect {
		listen := make([]netip.AddrPort, len(p.Endpoints))
		for i, e := range p.Endpoints {
			listen[i] = e.Listen
		}
		lanes := capture.NewPlan(listen, cfg.CapturePort)
		for i, e := range p.Endpoints {
			p.Endpoints[i].Arrive = lanes.To(e.Listen)
		}
		p.Capture = &lanes
	}
	return p
}

// Names yields every host that has a stand-in address, with that address.
func (p Plan) Names() iter.Seq2[string, netip.Addr] {
	return func(yield func(string, netip.Addr) bool) {
		for _, e := range p.Endpoints {
			if !e.Literal && !yield(e.Host, e.Address) {
				return
			}
		}
	}
}

// Relays returns the relays' host names, which this process looks up itself, one for
// each endpoint.
func (p Plan) Relays() []string {
	var hosts []string
	for _, e := range p.Endpoints {
		host, _, err := net.SplitHostPort(e.Namespace)
		if err != nil { // no port
			host = e.Namespace
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// IsResolver reports whether a nameserver at that address is the sidecar with these
// settings.
func IsResolver(cfg config.Config, server netip.AddrPort) bool {
	return slices.ContainsFunc(cfg.DNSListen, func(us netip.AddrPort) bool { return dnsproxy.LeadsTo(server, us) })
}

// Control prepares the sockets of the program's own connections, as [net.Dialer]'s
// does, so that they are not captured. Nil means that nothing is captured.
func Control(cfg config.Config) func(network, address string, c syscall.RawConn) error {
	if cfg.Capture == config.Redirect {
		return capture.Exempt
	}
	return nil
}

// Reachable is where a listener on addr is reached from its own machine: the loopback
// address in place of a wildcard address.
func Reachable(addr netip.AddrPort) netip.AddrPort {
	switch addr.Addr().Unmap() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
	return addr
}

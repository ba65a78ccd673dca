package main

import (
	"iter"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/config"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// endpoint is one place where the app connects, and where that leads.
type endpoint struct {
	name    string         // host:port, as the app writes it
	listen  netip.AddrPort // where the app connects: the stand-in address, or the address itself, and the same port
	arrive  netip.AddrPort // where it is accepted: the same, unless captured
	client  *relayclient.Client
	tokens  relayclient.TokenSource
	traffic *forwarder.Traffic // where its bytes are counted
	config.Connection
}

// name is the endpoint as the app writes it.
func name(c config.Connection) string { return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) }

// plan derives the endpoints from the settings, in their order: one client per
// namespace, so that TLS sessions are shared. They have no tokens yet, nor clients
// where newClient is nil.
func plan(cfg config.Config, newClient func(namespace string) *relayclient.Client) []endpoint {
	clients := make(map[string]*relayclient.Client)
	endpoints := make([]endpoint, 0, len(cfg.Connections))
	for _, c := range cfg.Connections {
		client := clients[c.Namespace]
		if client == nil && newClient != nil {
			client = newClient(c.Namespace)
			clients[c.Namespace] = client
		}
		endpoints = append(endpoints, endpoint{
			name:       name(c),
			listen:     netip.AddrPortFrom(c.Address, c.Port),
			arrive:     netip.AddrPortFrom(c.Address, c.Port),
			client:     client,
			Connection: c,
		})
	}
	if cfg.Capture == config.Redirect {
		lanes := lanes(cfg)
		for i := range endpoints {
			endpoints[i].arrive = lanes.To(endpoints[i].listen)
		}
	}
	return endpoints
}

// lanes are the ways of captured connections.
func lanes(cfg config.Config) capture.Plan {
	var all []netip.AddrPort
	for _, c := range cfg.Connections {
		all = append(all, netip.AddrPortFrom(c.Address, c.Port))
	}
	return capture.NewPlan(all, cfg.CapturePort)
}

// control prepares the sockets of the program's own connections.
func control(cfg config.Config) func(network, address string, c syscall.RawConn) error {
	if cfg.Capture == config.Redirect {
		return capture.Exempt
	}
	return nil
}

// describe is what is known of the endpoints before the first connection.
func describe(endpoints []endpoint) []admin.Endpoint {
	all := make([]admin.Endpoint, 0, len(endpoints))
	for _, e := range endpoints {
		all = append(all, admin.Endpoint{
			Name:      e.name,
			Address:   e.listen.String(),
			Namespace: e.Namespace,
			Entity:    e.Entity,
			Listener:  string(e.Listener),
		})
	}
	return all
}

// opening is what the listener expects first.
func opening(c config.Connection) relayclient.Opening {
	switch c.Listener {
	case config.Azbridge:
		return relayclient.Azbridge(c.PortName)
	case config.Aztunnel:
		return relayclient.Aztunnel(name(c))
	}
	return nil
}

// names yields every host that has a stand-in address, with it.
func names(connections []config.Connection) iter.Seq2[string, netip.Addr] {
	return func(yield func(string, netip.Addr) bool) {
		for _, c := range connections {
			if !c.Literal && !yield(c.Host, c.Address) {
				return
			}
		}
	}
}

// relays returns the relays' host names, which this process looks up.
func relays(connections []config.Connection) []string {
	var hosts []string
	for _, c := range connections {
		host, _, err := net.SplitHostPort(c.Namespace)
		if err != nil { // no port
			host = c.Namespace
		}
		hosts = append(hosts, host)
	}
	return hosts
}

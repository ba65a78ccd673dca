package main

import (
	"iter"
	"net"
	"net/netip"
	"strconv"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/config"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// endpoint is one place where the app connects, and where that leads.
type endpoint struct {
	name    string         // host:port, as the app writes it
	listen  netip.AddrPort // the stand-in address and the same port
	client  *relayclient.Client
	tokens  relayclient.TokenSource
	traffic *forwarder.Traffic // where its bytes are counted
	config.Connection
}

// name is the endpoint as the app writes it.
func name(c config.Connection) string { return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) }

// plan derives the endpoints from the settings, in their order: one client per
// namespace, so that TLS sessions are shared. They have no tokens yet.
func plan(cfg config.Config, newClient func(namespace string) *relayclient.Client) []endpoint {
	clients := make(map[string]*relayclient.Client)
	endpoints := make([]endpoint, 0, len(cfg.Connections))
	for _, c := range cfg.Connections {
		client := clients[c.Namespace]
		if client == nil {
			client = newClient(c.Namespace)
			clients[c.Namespace] = client
		}
		endpoints = append(endpoints, endpoint{
			name:       name(c),
			listen:     netip.AddrPortFrom(c.Address, c.Port),
			client:     client,
			Connection: c,
		})
	}
	return endpoints
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

// names yields every host with its stand-in address.
func names(connections []config.Connection) iter.Seq2[string, netip.Addr] {
	return func(yield func(string, netip.Addr) bool) {
		for _, c := range connections {
			if !yield(c.Host, c.Address) {
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

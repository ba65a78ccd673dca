package sidecar

import (
	"net"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/forwarder"
)

// apply has every part take its share of p, by one call each. Change is the difference
// from the applied plan; at the start it is everything. Bound are the listeners of
// change.Added, in that order, which are returned as the forwarder takes them. After an error nothing has changed.
//
// Counters come first, since all others report to them, and names last: an app that
// learns an address finds it served.
func (s *Sidecar) apply(p plan.Plan, change plan.Difference, bound []net.Listener) ([]forwarder.Listener, error) {
	table, err := dnsproxy.NewTable(p.Names())
	if err != nil {
		return nil, err
	}
	s.monitor.Apply(describe(p.Endpoints))
	s.credentials.Apply(p)
	s.routes.apply(p.Endpoints, func(e plan.Endpoint) route {
		return route{Endpoint: e, tokens: s.credentials.Tokens(e.Name), traffic: s.monitor.Traffic(e.Name)}
	})
	listeners := make([]forwarder.Listener, 0, len(bound))
	for i, e := range change.Added {
		listeners = append(listeners, forwarder.Listener{Listener: bound[i], Target: e.Name, Traffic: s.monitor.Traffic(e.Name)})
	}
	s.resolver.Table = table
	s.resolver.Self = append(p.Relays(), s.identities.Hosts()...)
	s.now = p
	return listeners, nil
}

// describe is what the monitor knows of the endpoints before their first connection.
func describe(endpoints []plan.Endpoint) []admin.Endpoint {
	all := make([]admin.Endpoint, 0, len(endpoints))
	for _, e := range endpoints {
		all = append(all, admin.Endpoint{
			Name:      e.Name,
			Address:   e.Listen.String(),
			Namespace: e.Namespace,
			Entity:    e.Entity,
			Listener:  string(e.Listener),
		})
	}
	return all
}

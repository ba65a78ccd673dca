package sidecar

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/kernel"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// route is one endpoint of the running sidecar: what the settings say of it, and what
// carries its connections.
type route struct {
	plan.Endpoint
	client  *relayclient.Client     // of the namespace: its endpoints share TLS sessions
	tokens  relayclient.TokenSource // a *relayclient.Rollover, which Dial recognises
	traffic *forwarder.Traffic      // where its bytes are counted
}

// routes are those of the applied plan. They are read on the way of every connection,
// without a lock, and replaced as a whole.
type routes struct {
	newClient func(namespace string) *relayclient.Client
	current   atomic.Pointer[routeTable]
}

// routeTable does not change once made.
type routeTable struct {
	all     []*route // in the order of the settings
	named   map[string]*route
	at      map[netip.AddrPort]*route      // by where their connections arrive
	clients map[string]*relayclient.Client // by namespace
}

// apply makes endpoints the only ones, each with the route that carry makes, of which
// the client is missing. A namespace keeps its client; that of one without endpoints
// is closed, and connections dialled through it go on.
func (r *routes) apply(endpoints []plan.Endpoint, carry func(plan.Endpoint) route) {
	before := r.table()
	next := &routeTable{
		named:   make(map[string]*route, len(endpoints)),
		at:      make(map[netip.AddrPort]*route, len(endpoints)),
		clients: make(map[string]*relayclient.Client),
	}
	for _, e := range endpoints {
		client := next.clients[e.Namespace]
		if client == nil {
			client = before.clients[e.Namespace]
		}
		if client == nil {
			client = r.newClient(e.Namespace)
		}
		next.clients[e.Namespace] = client
		one := carry(e)
		one.client = client
		next.all = append(next.all, &one)
		next.named[e.Name] = &one
		next.at[e.Arrive] = &one
	}
	r.current.Store(next)
	for namespace, client := range before.clients {
		if next.clients[namespace] == nil {
			client.Close()
		}
	}
}

// table is the one that holds now.
func (r *routes) table() *routeTable {
	if t := r.current.Load(); t != nil {
		return t
	}
	return new(routeTable)
}

// dial reaches an endpoint through its hybrid connection; it is a [forwarder.DialFunc].
func (r *routes) dial(ctx context.Context, req forwarder.Request) (net.Conn, error) {
	one := r.table().named[req.Target]
	if one == nil { // between its accept and now
		return nil, fmt.Errorf("the endpoint %s has been removed", req.Target)
	}
	conn, err := one.client.Dial(ctx, relayclient.Request{Entity: one.Entity, Tokens: one.tokens, ID: req.ID, Opening: one.Opening(), NoRetry: req.NoRetry})
	if err != nil {
		return nil, err // not conn, which would be a nil pointer in an interface
	}
	return conn, nil
}

// clock asks the relay of a namespace for the time: see [relayclient.Client.Clock].
func (r *routes) clock(ctx context.Context, namespace string) (time.Duration, error) {
	client := r.table().clients[namespace]
	if client == nil {
		return 0, fmt.Errorf("no endpoint is reached through %s any more", namespace)
	}
	return client.Clock(ctx)
}

// appClosed reports whether the app has closed its end fully of a connection accepted
// at us: see [kernel.AppClosed].
func (r *routes) appClosed(app, us netip.AddrPort) (bool, error) {
	return kernel.AppClosed(app, r.destination(us), us)
}

// destination is the address that the app dialled, for a connection accepted at us; the
// two differ if it was captured.
func (r *routes) destination(us netip.AddrPort) netip.AddrPort {
	if one := r.table().at[us]; one != nil {
		return one.Listen
	}
	return us
}

// arriveAt reports whether connections to some endpoint arrive at us.
func (r *routes) arriveAt(us netip.AddrPort) bool { return r.table().at[us] != nil }

// close gives back what the clients keep ready. Connections stay.
func (r *routes) close() {
	for _, client := range r.table().clients {
		client.Close()
	}
}

package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// parts are what the program consists of, joined by functions and hooks.
type parts struct {
	endpoints   []endpoint
	credentials *credentials
	identities  *identities
	resolver    *dnsproxy.Server
	forwarder   *forwarder.Server
	monitor     *admin.Monitor
	operator    *admin.Server   // its Quit is still to be set
	keeper      *capture.Keeper // nil unless connections are captured
}

// assemble makes the parts, and starts nothing.
func assemble(environ []string, cfg config.Config, upstreams []netip.AddrPort, log *slog.Logger, guarded func(f func()) func()) (*parts, error) {
	table, err := dnsproxy.NewTable(names(cfg.Connections))
	if err != nil {
		return nil, err
	}
	p := parts{identities: newIdentities(cfg, identity.Options{Logger: log, Guard: guarded})}
	p.resolver = &dnsproxy.Server{
		Table:     table,
		Upstreams: upstreams,
		TTL:       cfg.DNSTTL,
		CacheSize: cmp.Or(cfg.DNSCacheSize, -1),
		Self:      append(relays(cfg.Connections), p.identities.hosts()...),
		Version:   version(),
		Control:   control(cfg),
		Logger:    log,
		Panicked:  panicked(guarded),
	}
	p.endpoints = plan(cfg, func(namespace string) *relayclient.Client {
		return &relayclient.Client{
			Endpoint:        namespace,
			RootCAs:         cfg.RootCAs,
			KeepAlive:       cfg.KeepAlive,
			WarmConnections: cfg.WarmConnections,
			UserAgent:       "hyco-sidecar/" + version(),
			Control:         control(cfg),
			Logger:          log,
			Panicked:        panicked(guarded),
		}
	})
	p.credentials = newCredentials(environ, cfg, p.identities, log)
	for i := range p.endpoints {
		p.endpoints[i].tokens = p.credentials.endpoints[i].rollover
	}
	p.monitor = admin.NewMonitor(admin.Options{
		Version:        version(),
		MaxConnections: cfg.MaxConnections,
		Endpoints:      describe(p.endpoints),
		DNSListen:      texts(cfg.DNSListen),
		DNSUpstreams:   texts(upstreams),
		Usage:          p.resolver.Usage,
		Identities:     p.identities.tokenStats,
		Guard:          guarded,
	})
	p.credentials.tell(p.monitor)
	p.resolver.Hooks = p.monitor.Resolver()
	for i := range p.endpoints {
		e := &p.endpoints[i]
		e.client.Hooks = p.monitor.Relay(e.Namespace)
		e.traffic = p.monitor.Traffic(e.name)
	}
	p.forwarder = &forwarder.Server{
		Dial:           dialer(p.endpoints),
		NewID:          relayclient.NewID,
		DialTimeout:    cfg.ConnectTimeout,
		Linger:         cfg.Linger,
		IdleTimeout:    cfg.IdleTimeout,
		MaxConnections: cfg.MaxConnections,
		DrainTimeout:   cfg.DrainTimeout,
		AppClosed:      func(app, us netip.AddrPort) (bool, error) { return appClosed(app, us, us) },
		Logger:         log,
		Hooks:          p.monitor.Connections(),
		Panicked:       panicked(guarded),
	}
	if cfg.Capture == config.Redirect {
		p.capture(lanes(cfg), log)
	}
	p.operator = &admin.Server{Monitor: p.monitor, Pprof: cfg.AdminPprof, Logger: log}
	return &p, nil
}

// capture prepares for connections that the kernel leads here.
func (p *parts) capture(lanes capture.Plan, log *slog.Logger) {
	from := make(map[netip.AddrPort]netip.AddrPort, len(p.endpoints))
	for _, e := range p.endpoints {
		from[e.arrive] = e.listen
	}
	p.keeper = &capture.Keeper{Plan: lanes, Logger: log, InPlace: p.monitor.Captured, Undelivered: func() bool { return undelivered(from) }}
	p.forwarder.AppClosed = func(app, us netip.AddrPort) (bool, error) { return appClosed(app, from[us], us) }
}

// dialer reaches an endpoint through its hybrid connection.
func dialer(endpoints []endpoint) forwarder.DialFunc {
	byName := make(map[string]endpoint, len(endpoints))
	for _, e := range endpoints {
		byName[e.name] = e
	}
	return func(ctx context.Context, req forwarder.Request) (net.Conn, error) {
		e := byName[req.Target]
		conn, err := e.client.Dial(ctx, relayclient.Request{Entity: e.Entity, Tokens: e.tokens, ID: req.ID, Opening: opening(e.Connection), Last: req.Last})
		if err != nil {
			return nil, err // not conn, which would be a nil pointer in an interface
		}
		return conn, nil
	}
}

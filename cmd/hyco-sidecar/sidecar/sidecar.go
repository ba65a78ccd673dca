package sidecar

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/cmd/hyco-sidecar/credential"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/kernel"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/cmd/hyco-sidecar/preflight"
	"hyco-sidecar/cmd/hyco-sidecar/secrets"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// Options are what a Sidecar needs beside its plan.
type Options struct {
	// Environ are the variables that the settings were read from, for files of secrets
	// that change.
	Environ []string
	// Logger gets every line. Required.
	Logger *slog.Logger
	// Guard wraps what runs on each goroutine; nil leaves it as it is.
	Guard func(f func()) func()
}

// Sidecar joins the parts. Make it with [New] and call [Sidecar.Run] once.
type Sidecar struct {
	plan  plan.Plan // that Run begins with
	now   plan.Plan // that is applied
	log   *slog.Logger
	guard func(f func()) func() // of Options

	resolver    *dnsproxy.Server
	forwarder   *forwarder.Server
	monitor     *admin.Monitor
	admin       *admin.Server
	identities  *credential.Identities
	credentials *credential.Set
	keeper      *capture.Keeper // nil unless connections are captured
	routes      routes
}

// New makes the parts for a plan, and starts nothing.
func New(p plan.Plan, o Options) *Sidecar {
	cfg := p.Config
	s := &Sidecar{plan: p, log: o.Logger, guard: o.Guard}
	s.identities = credential.NewIdentities(cfg, identity.Options{Logger: s.log, Guard: o.Guard})
	s.resolver = &dnsproxy.Server{
		Upstreams: p.Upstreams,
		TTL:       cfg.DNSTTL,
		CacheSize: cmp.Or(cfg.DNSCacheSize, -1),
		Version:   plan.Version(),
		Control:   plan.Control(cfg),
		Logger:    s.log,
		Guard:     o.Guard,
	}
	s.monitor = admin.NewMonitor(admin.Options{
		Version:        plan.Version(),
		MaxConnections: cfg.MaxConnections,
		DNSListen:      texts(cfg.DNSListen),
		DNSUpstreams:   texts(p.Upstreams),
		Usage:          s.resolver.Usage,
		Identities:     s.tokenStats,
		Guard:          o.Guard,
	})
	s.resolver.Hooks = s.monitor.Resolver()
	s.credentials = credential.New(credential.Options{
		Environ:    o.Environ,
		Identities: s.identities,
		Logger:     s.log,
		Hooks: credential.Hooks{
			Presents: s.showCredentials,
			Refused:  s.monitor.CredentialRefused,
			Using:    s.monitor.CredentialInUse,
			Reloaded: s.monitor.Reloaded,
		},
	})
	s.routes.newClient = s.newClient
	s.forwarder = &forwarder.Server{
		Dial:           s.routes.dial,
		NewID:          relayclient.NewID,
		DialTimeout:    cfg.ConnectTimeout,
		Linger:         cfg.Linger,
		IdleTimeout:    cfg.IdleTimeout,
		MaxConnections: cfg.MaxConnections,
		DrainTimeout:   cfg.DrainTimeout,
		AppClosed:      s.routes.appClosed,
		Logger:         s.log,
		Hooks:          s.monitor.Connections(),
		Guard:          o.Guard,
	}
	if p.Capture != nil {
		s.keeper = &capture.Keeper{
			Plan:          *p.Capture,
			Logger:        s.log,
			InPlace:       s.monitor.Captured,
			HasUnsentData: func() bool { return kernel.HasUnsentData(s.routes.arriveAt) },
		}
	}
	s.admin = &admin.Server{Monitor: s.monitor, Pprof: cfg.AdminPprof, Logger: s.log}
	return s
}

// newClient makes the client of a namespace.
func (s *Sidecar) newClient(namespace string) *relayclient.Client {
	cfg := s.plan.Config
	return &relayclient.Client{
		Namespace:       namespace,
		RootCAs:         cfg.RootCAs,
		KeepAlive:       cfg.KeepAlive,
		WarmConnections: cfg.WarmConnections,
		UserAgent:       plan.UserAgent(),
		Control:         plan.Control(cfg),
		Logger:          s.log,
		Hooks:           s.monitor.Relay(namespace),
		Guard:           s.guard,
	}
}

// showCredentials tells the monitor what an endpoint presents.
func (s *Sidecar) showCredentials(endpoint string, all []credential.Presented, using int) {
	shown := make([]admin.Credential, len(all))
	for i, one := range all {
		shown[i] = admin.Credential(one)
	}
	s.monitor.Credentials(endpoint, shown, using)
}

// tokenStats say how tokens of Entra ID come.
func (s *Sidecar) tokenStats() []admin.TokenStats {
	var all []admin.TokenStats
	for _, source := range s.identities.Sources() {
		all = append(all, admin.TokenStats(source.TokenStats()))
	}
	return all
}

// Run binds every socket, then serves until ctx ends, /quitquitquit is asked for, or a
// part fails; it then drains, and returns when every goroutine that it started has
// ended.
//
// The error is nil after a drain. It is a *[capture.Fault] where connections cannot be
// captured, and otherwise reports all addresses that cannot be bound, or the part that
// has failed.
func (s *Sidecar) Run(ctx context.Context) error {
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	s.admin.Quit = func() {
		first := ctx.Err() == nil
		drain()
		if first {
			s.log.Info("draining", "asked_by", "/quitquitquit")
		}
	}
	change := plan.Compare(s.now, s.plan)
	bound, err := bind(ctx, s.plan, change.Added)
	if err != nil {
		return err
	}
	listeners, err := s.apply(s.plan, change, bound.endpoints)
	if err != nil {
		bound.close()
		return err
	}
	if s.keeper != nil {
		if err := s.keeper.Start(ctx); err != nil {
			bound.close()
			if ctx.Err() != nil {
				s.log.Info("stopped")
				return nil
			}
			return err
		}
	}

	beside := newLifetimes(ctx, drain, s.guarded, s.log)
	beside.part(beside.admin, "admin server", func(ctx context.Context) error { return s.admin.Serve(ctx, bound.admin...) })
	beside.part(beside.resolver, "resolver", func(ctx context.Context) error { return s.resolver.Serve(ctx, bound.packets, bound.streams) })
	s.identities.Start()
	s.monitor.Enter(admin.Serving)
	unhook := context.AfterFunc(ctx, s.guarded(func() { s.monitor.Enter(admin.Draining) }))
	defer unhook()
	s.announce()

	beside.untilDrain.run(s.lookAround)
	beside.untilDrain.run(s.countListeners)
	if files := s.plan.Config.SecretFiles; len(files) > 0 {
		beside.untilLastConnection.run(func(ctx context.Context) {
			secrets.Watch(ctx, slices.Collect(maps.Values(files)), func() (again bool) { return s.credentials.Reload(false) })
		})
	}
	beside.untilLastConnection.run(s.credentials.WatchExpiry)
	if s.keeper != nil {
		beside.untilLastConnection.run(func(context.Context) { capture.Answer(bound.canary) })
		beside.untilLastConnection.run(func(ctx context.Context) {
			defer bound.canary.Close()
			s.keeper.Run(ctx)
		})
	}
	beside.untilLastConnection.finally(s.routes.close)
	beside.untilLastConnection.finally(s.identities.Close)

	err = s.forwarder.Serve(ctx, listeners...)
	if err = errors.Join(err, beside.end()); err == nil {
		s.log.Info("stopped")
	}
	return err
}

// announce says that everything is bound and served.
func (s *Sidecar) announce() {
	for _, e := range s.now.Endpoints {
		s.log.Debug("endpoint", "endpoint", e.Name, "address", e.Listen.String(), "namespace", e.Namespace, "entity", e.Entity)
	}
	s.log.Info("ready", "version", plan.Version(), "endpoints", len(s.now.Endpoints), "dns", texts(s.now.Config.DNSListen),
		"upstreams", texts(s.now.Upstreams), "admin", texts(s.now.Config.AdminListen))
}

// lookAround tells the monitor and the log what is found at the start, unless ctx ends
// first.
func (s *Sidecar) lookAround(ctx context.Context) {
	look := &preflight.Preflight{
		Plan:       s.plan,
		ResolvConf: plan.ResolvConf,
		Clock:      s.routes.clock,
		Offset:     s.monitor.ClockOffset,
		Identities: s.identities.Sources(),
		Guard:      s.guard,
	}
	if found := look.Run(ctx); ctx.Err() == nil {
		s.monitor.Found(found)
		preflight.Report(ctx, s.log, found)
	}
}

func (s *Sidecar) guarded(f func()) func() {
	if s.guard == nil {
		return f
	}
	return s.guard(f)
}

func texts(addrs []netip.AddrPort) []string {
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
	}
	return all
}

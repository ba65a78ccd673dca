package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/cmd/hyco-sidecar/logging"
	"hyco-sidecar/cmd/hyco-sidecar/secrets"
	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
)

// serveCommand runs until a signal and returns the exit code.
func serveCommand(c *call, args []string) int {
	if _, code, ok := c.parse(args, 0); !ok {
		return code
	}
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.failed(exitInvalid, err)
	}
	log := logging.New(c.stderr, cfg.LogLevel, cfg.LogFormat)
	c.guarded = logging.Guard(log)
	code := exitOK
	c.guarded(func() { code = c.serve(cfg, log) })()
	return code
}

// serve runs with these settings.
func (c *call) serve(cfg config.Config, log *slog.Logger) int {
	upstreams, err := chooseUpstreams(cfg, "/etc/resolv.conf", log)
	if err != nil {
		return c.failed(exitInvalid, err)
	}
	ctx, stop := untilSignalled(log, c.guarded)
	defer stop()
	if discovers(cfg) {
		log.Info("asking the relay for endpoints")
		cfg, err = (&discoverer{cfg: cfg, upstreams: upstreams, guarded: c.guarded}).run(ctx)
		switch {
		case ctx.Err() != nil:
			log.Info("stopped")
			return exitOK
		case errors.Is(err, errNotDiscovered):
			return c.failed(exitFailed, err)
		case err != nil:
			return c.failed(exitInvalid, err)
		}
	}
	if debug.SetMemoryLimit(-1) >= 8*headroomSize { // where GOMEMLIMIT leaves room for it
		headroom := make([]byte, headroomSize)
		defer runtime.KeepAlive(headroom)
	}
	if err := serve(ctx, c.environ, cfg, upstreams, log, c.guarded); err != nil {
		return c.failed(exitFailed, err)
	}
	return exitOK
}

// headroomSize is memory that is never touched, and so is none, but counts as
// heap: a collection begins when the heap has doubled, at 4 MiB at the earliest,
// and a new connection leaves 80 KiB of garbage, most of it of TLS. Collecting
// after every fifty connections took an eighth of their CPU time. The price of
// collecting less is up to 16 MiB more of resident memory in busy times.
const headroomSize = 8 << 20

// chooseUpstreams returns where names that are not ours are asked: what was
// set, which must not lead back to us, or else the machine's own nameservers
// without us.
func chooseUpstreams(cfg config.Config, resolvConf string, log *slog.Logger) ([]netip.AddrPort, error) {
	isUs := func(up netip.AddrPort) bool { return isResolver(cfg, up) }
	if cfg.DNSUpstreams != nil {
		if i := slices.IndexFunc(cfg.DNSUpstreams, isUs); i >= 0 {
			return nil, &config.Fault{
				Variable: "HYCO_DNS_UPSTREAMS",
				Problem:  fmt.Sprintf("%s is this sidecar itself (HYCO_DNS_LISTEN)", cfg.DNSUpstreams[i]),
				Remedy:   "name the resolver that other names should go to, for example the cluster's",
			}
		}
		return cfg.DNSUpstreams, nil
	}
	found, err := dnsproxy.SystemUpstreams(resolvConf)
	upstreams := slices.DeleteFunc(found, isUs)
	if len(upstreams) == 0 {
		log.Warn("no resolver for other names: they get SERVFAIL", "file", resolvConf, "error", err)
	}
	return upstreams, nil
}

// isResolver reports whether a nameserver at that address is the sidecar's own.
func isResolver(cfg config.Config, server netip.AddrPort) bool {
	return slices.ContainsFunc(cfg.DNSListen, func(us netip.AddrPort) bool { return dnsproxy.LeadsTo(server, us) })
}

// serve binds everything, then serves until ctx ends or somebody asks for that,
// drains and stops. DNS stops late, for an app that is drained still asks for
// names, and the probes last.
func serve(ctx context.Context, environ []string, cfg config.Config, upstreams []netip.AddrPort, log *slog.Logger, guarded func(f func()) func()) error {
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	p, err := assemble(environ, cfg, upstreams, log, guarded)
	if err != nil {
		return err
	}
	p.operator.Quit = func() {
		first := ctx.Err() == nil
		drain()
		if first {
			log.Info("draining", "asked_by", "/quitquitquit")
		}
	}
	var lanes *capture.Plan
	if p.keeper != nil {
		lanes = &p.keeper.Plan
	}
	bound, err := bind(ctx, cfg.DNSListen, cfg.AdminListen, p.endpoints, lanes)
	if err != nil {
		return err
	}
	if p.keeper != nil {
		if err := p.keeper.Start(ctx); err != nil {
			bound.close()
			if ctx.Err() != nil {
				log.Info("stopped")
				return nil
			}
			return uncaptured(err)
		}
	}

	beside := func(part string, serve func(ctx context.Context) error) (stop func() error) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go guarded(func() {
			err := serve(ctx)
			drain() // a part that has failed ends the rest; what is open may finish
			if err != nil {
				log.Error("a part of the program failed: draining", "part", part, "error", err)
			}
			ended <- err
		})()
		return func() error {
			cancel()
			return <-ended
		}
	}
	stopResolver := beside("resolver", func(ctx context.Context) error { return p.resolver.Serve(ctx, bound.packets, bound.streams) })
	stopOperator := beside("admin server", func(ctx context.Context) error { return p.operator.Serve(ctx, bound.admin...) })
	p.identities.start()
	p.monitor.Enter(admin.Serving)
	unhook := context.AfterFunc(ctx, guarded(func() { p.monitor.Enter(admin.Draining) }))
	defer unhook()
	for _, e := range p.endpoints {
		log.Debug("endpoint", "endpoint", e.name, "address", e.listen.String(), "namespace", e.Namespace, "entity", e.Entity)
	}
	log.Info("ready", "version", version(), "endpoints", len(p.endpoints), "dns", texts(cfg.DNSListen),
		"upstreams", texts(upstreams), "admin", texts(cfg.AdminListen))

	look := &preflight{
		cfg: cfg, endpoints: p.endpoints, upstreams: upstreams, resolvConf: "/etc/resolv.conf",
		identities: p.identities, clock: p.monitor.ClockOffset, guarded: guarded,
	}
	var looking sync.WaitGroup
	looking.Go(guarded(func() {
		if found := look.run(ctx); ctx.Err() == nil {
			p.monitor.Found(found)
			logPreflight(ctx, log, found)
		}
	}))

	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	if len(cfg.SecretFiles) > 0 {
		looking.Go(guarded(func() {
			secrets.Watch(watching, slices.Collect(maps.Values(cfg.SecretFiles)), func() bool { return p.credentials.look(false) })
		}))
	}
	looking.Go(guarded(func() { p.credentials.watchExpiry(watching) }))
	if p.keeper != nil {
		looking.Go(guarded(func() { capture.Answer(bound.canary) }))
		looking.Go(guarded(func() {
			defer bound.canary.Close()
			p.keeper.Run(watching)
		}))
	}
	looking.Go(guarded(func() { p.watchListeners(ctx, log, guarded) }))

	err = p.forwarder.Serve(ctx, bound.endpoints...)
	for _, e := range p.endpoints {
		e.client.Close() // which several may share; once is enough and more do no harm
	}
	drain() // which ends the look around, should it still go on
	unwatch()
	looking.Wait()
	p.identities.close()
	if failed := stopResolver(); failed != nil {
		err = errors.Join(err, fmt.Errorf("the resolver failed: %w", failed))
	}
	if failed := stopOperator(); failed != nil {
		err = errors.Join(err, fmt.Errorf("the admin server failed: %w", failed))
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

func texts(addrs []netip.AddrPort) []string {
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
	}
	return all
}

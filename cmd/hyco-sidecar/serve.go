package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// serveCommand runs until a signal and returns the exit code.
func serveCommand(environ []string, stderr io.Writer) int {
	cfg, err := config.Load(environ)
	if err != nil {
		fmt.Fprintf(stderr, "hyco-sidecar: %v\n", err)
		return exitInvalid
	}
	log := newLogger(stderr, cfg)
	upstreams, err := chooseUpstreams(cfg, "/etc/resolv.conf", log)
	if err != nil {
		fmt.Fprintf(stderr, "hyco-sidecar: %v\n", err)
		return exitInvalid
	}
	ctx, stop := untilSignalled(log)
	defer stop()
	if debug.SetMemoryLimit(-1) >= 8*headroomSize { // where GOMEMLIMIT leaves room for it
		headroom := make([]byte, headroomSize)
		defer runtime.KeepAlive(headroom)
	}
	if err := serve(ctx, cfg, upstreams, log); err != nil {
		fmt.Fprintf(stderr, "hyco-sidecar: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// headroomSize is memory that is never touched, and so is none, but counts as
// heap: a collection begins when the heap has doubled, at 4 MiB at the earliest,
// and a new connection leaves 80 KiB of garbage, most of it of TLS. Collecting
// after every fifty connections took an eighth of their CPU time. The price of
// collecting less is up to 16 MiB more of resident memory in busy times.
const headroomSize = 8 << 20

// sameSignal is how close to the first a second signal still belongs to it:
// timeout(1) and some supervisors signal a process and then its group.
const sameSignal = 250 * time.Millisecond

// untilSignalled returns a context that the first SIGTERM or SIGINT ends; the
// second ends the process. Connections that are then open are reset.
func untilSignalled(log *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case s := <-signals:
			log.Info("draining", "signal", s.String())
			cancel()
		case <-done:
			return
		}
		for began := time.Now(); ; {
			select {
			case s := <-signals:
				if time.Since(began) >= sameSignal {
					log.Warn("exiting at once", "signal", s.String())
					os.Exit(exitFailed)
				}
			case <-done:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watch.Wait()
		cancel()
	}
}

// chooseUpstreams returns where names that are not ours are asked: what was
// set, which must not lead back to us, or else the machine's own nameservers
// without us.
func chooseUpstreams(cfg config.Config, resolvConf string, log *slog.Logger) ([]netip.AddrPort, error) {
	isUs := func(up netip.AddrPort) bool {
		return slices.ContainsFunc(cfg.DNSListen, func(us netip.AddrPort) bool { return dnsproxy.LeadsTo(up, us) })
	}
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
		log.Warn("no resolver for other names: they get SERVFAIL", "file", resolvConf, "error", err,
			"next", "set HYCO_DNS_UPSTREAMS")
	}
	return upstreams, nil
}

// serve binds everything, then serves until ctx ends, drains and stops. DNS
// stops last: an app that is drained still asks for names.
func serve(ctx context.Context, cfg config.Config, upstreams []netip.AddrPort, log *slog.Logger) error {
	endpoints := plan(cfg, func(namespace string) *relayclient.Client {
		return &relayclient.Client{
			Endpoint:        namespace,
			RootCAs:         cfg.RootCAs,
			KeepAlive:       cfg.KeepAlive,
			WarmConnections: cfg.WarmConnections,
			UserAgent:       "hyco-sidecar/" + version(),
			Logger:          log,
		}
	})
	table, err := dnsproxy.NewTable(names(cfg.Connections))
	if err != nil {
		return err
	}
	bound, err := bind(ctx, cfg.DNSListen, endpoints)
	if err != nil {
		return err
	}

	resolver := &dnsproxy.Server{
		Table:     table,
		Upstreams: upstreams,
		TTL:       cfg.DNSTTL,
		CacheSize: cmp.Or(cfg.DNSCacheSize, -1),
		Self:      relays(cfg.Connections),
		Version:   version(),
		Logger:    log,
	}
	server := &forwarder.Server{
		Dial:           dialer(endpoints),
		NewID:          relayclient.NewID,
		DialTimeout:    cfg.ConnectTimeout,
		Linger:         cfg.Linger,
		IdleTimeout:    cfg.IdleTimeout,
		MaxConnections: cfg.MaxConnections,
		DrainTimeout:   cfg.DrainTimeout,
		AppClosed:      appClosed,
		Logger:         log,
	}

	ctx, drain := context.WithCancel(ctx)
	defer drain()
	resolving, stopResolving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopResolving()
	resolved := make(chan error, 1)
	go func() {
		err := resolver.Serve(resolving, bound.packets, bound.streams)
		drain() // without names no connection comes; what is open may finish
		resolved <- err
	}()
	for _, e := range endpoints {
		log.Debug("endpoint", "endpoint", e.name, "address", e.listen.String(), "namespace", e.Namespace, "entity", e.Entity)
	}
	log.Info("ready", "version", version(), "endpoints", len(endpoints), "dns", texts(cfg.DNSListen), "upstreams", texts(upstreams))

	err = server.Serve(ctx, bound.endpoints...)
	for _, e := range endpoints {
		e.client.Close() // which several may share; once is enough and more do no harm
	}
	stopResolving()
	if dnsErr := <-resolved; dnsErr != nil {
		err = errors.Join(err, fmt.Errorf("the resolver failed: %w", dnsErr))
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// dialer reaches an endpoint through its hybrid connection.
func dialer(endpoints []endpoint) forwarder.DialFunc {
	byName := make(map[string]endpoint, len(endpoints))
	for _, e := range endpoints {
		byName[e.name] = e
	}
	return func(ctx context.Context, req forwarder.Request) (net.Conn, error) {
		e := byName[req.Target]
		conn, err := e.client.Dial(ctx, relayclient.Request{Entity: e.Entity, Tokens: e.tokens, ID: req.ID, Last: req.Last})
		if err != nil {
			return nil, err // not conn, which would be a nil pointer in an interface
		}
		return conn, nil
	}
}

func texts(addrs []netip.AddrPort) []string {
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
	}
	return all
}

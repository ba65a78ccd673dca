package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// discoveryWait is how long a start waits for the relays to say which endpoints
// there are: two attempts. Whoever starts the process starts it again then. Probes
// give a start half a minute in places, and who is killed does not say why.
const discoveryWait = 20 * time.Second

// discoverer asks the relays for the endpoints of connections whose endpoint is
// auto.
type discoverer struct {
	cfg       config.Config
	upstreams []netip.AddrPort      // asked for the relays' names: our own resolver does not serve yet
	guarded   func(f func()) func() // wraps what runs on each goroutine
}

// discovery is what one relay said.
type discovery struct {
	endpoint  string
	listeners int
	err       error
}

// errNotDiscovered is a relay that could not be asked for now.
var errNotDiscovered = errors.New("not every endpoint could be asked for")

// run returns the settings with the endpoints found, or as they are where none is
// to be discovered. Its error is of the settings, each fault with its variable,
// unless it is errNotDiscovered or that of ctx.
func (d *discoverer) run(ctx context.Context) (config.Config, error) {
	var wanted []config.Connection
	for _, c := range d.cfg.Connections {
		if c.Discover {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return d.cfg, nil
	}
	waiting, cancel := context.WithTimeout(ctx, discoveryWait)
	defer cancel()
	ids := newIdentities(d.cfg, identity.Options{Resolver: &net.Resolver{PreferGo: true, Dial: nameserver(d.cfg, d.upstreams)}, Guard: d.guarded})
	defer ids.close()
	found := d.ask(waiting, wanted, ids)
	if ctx.Err() != nil {
		return config.Config{}, ctx.Err()
	}
	var faults []*config.Fault
	var later []error
	endpoints := make([]string, len(found))
	for i, f := range found {
		failed, ok := errors.AsType[*relayclient.DialError](f.err)
		switch {
		case f.err == nil:
			endpoints[i] = f.endpoint
		case ok && (failed.Temporary() || failed.Reason() == "token_failed"):
			later = append(later, fmt.Errorf("%s: auto: %s: %s (%s)", wanted[i].Variable, plain(f.err), advice.Next(f.err), reasonOf(f.err)))
		default:
			faults = append(faults, d.fault(wanted[i], f.err))
		}
	}
	switch {
	case len(faults) > 0:
		return config.Config{}, config.Report(faults...)
	case len(later) > 0:
		return config.Config{}, errors.Join(append([]error{errNotDiscovered}, later...)...)
	}
	return d.cfg.Discovered(endpoints)
}

// fault says what to do about a connection that cannot be discovered.
func (d *discoverer) fault(c config.Connection, err error) *config.Fault {
	f := &config.Fault{Variable: c.Variable, Problem: "auto: " + plain(err) + " (" + reasonOf(err) + ")", Remedy: "write host:port instead of auto, or give the hybrid connection the metadata [{\"key\":\"endpoint\",\"value\":\"host:port\"}]"}
	if failed, ok := errors.AsType[*relayclient.DialError](err); ok {
		f.Remedy = advice.Next(err)
		if failed.Reason() == "metadata_not_readable" {
			f.Problem = fmt.Sprintf("auto: %s may not read the hybrid connection %q (metadata_not_readable)", credentialsOf(c, kindOf(d.cfg)), c.Entity)
			f.Remedy = "give that key's rule the Listen right as well, or write host:port instead of auto"
			if c.Credential.Entra {
				f.Remedy = advice.Next(err)
			}
		}
	}
	return f
}

// plain is an error without its package.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "relayclient: ") }

// reasonOf is the label of an error.
func reasonOf(err error) string {
	if e, ok := errors.AsType[interface {
		error
		Reason() string
	}](err); ok {
		return e.Reason()
	}
	return "other"
}

// ask asks all relays, a few at a time.
func (d *discoverer) ask(ctx context.Context, wanted []config.Connection, ids *identities) []discovery {
	found := make([]discovery, len(wanted))
	fewAtOnce(d.guarded, len(wanted), func(i int) {
		c := wanted[i]
		client := &relayclient.Client{Endpoint: c.Namespace, RootCAs: d.cfg.RootCAs, UserAgent: "hyco-sidecar/" + version(),
			Nameserver: nameserver(d.cfg, d.upstreams), Control: control(d.cfg), Panicked: panicked(d.guarded)}
		defer client.Close()
		said, err := client.Describe(ctx, relayclient.Request{Entity: c.Entity, Tokens: relayclient.NewRollover(ids.both(c)...)})
		if err == nil {
			found[i].listeners = said.Listeners
			found[i].endpoint, err = said.Endpoint()
		}
		found[i].err = err
	})
	return found
}

// fewAtOnce asks n relays, eight at a time, for one that cannot be reached holds its
// place for a while.
func fewAtOnce(guarded func(f func()) func(), n int, ask func(i int)) {
	places := make(chan struct{}, 8)
	var asking sync.WaitGroup
	for i := range n {
		asking.Go(guarded(func() {
			places <- struct{}{}
			defer func() { <-places }()
			ask(i)
		}))
	}
	asking.Wait()
}

// nameserver connects to the upstreams in turn, whatever /etc/resolv.conf says: it
// may name this very process. Nil where there are none.
func nameserver(cfg config.Config, upstreams []netip.AddrPort) func(ctx context.Context, network, address string) (net.Conn, error) {
	if len(upstreams) == 0 {
		return nil
	}
	var turn atomic.Uint32
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		up := upstreams[int(turn.Add(1)-1)%len(upstreams)]
		return (&net.Dialer{Control: control(cfg)}).DialContext(ctx, network, up.String())
	}
}

// discovered is run for a command that says what it finds and ends.
func (c *call) discovered(ctx context.Context, cfg config.Config) (_ config.Config, code int, ok bool) {
	upstreams, err := chooseUpstreams(cfg, "/etc/resolv.conf", slog.New(slog.DiscardHandler))
	if err != nil {
		return cfg, c.failed(exitInvalid, err), false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := (&discoverer{cfg: cfg, upstreams: upstreams, guarded: c.guarded}).run(ctx)
	switch {
	case errors.Is(err, errNotDiscovered), ctx.Err() != nil && err != nil:
		return cfg, c.failed(exitFailed, err), false
	case err != nil:
		return cfg, c.failed(exitInvalid, err), false
	}
	return found, exitOK, true
}

// discovers reports whether some endpoint is to be discovered.
func discovers(cfg config.Config) bool {
	return slices.ContainsFunc(cfg.Connections, func(c config.Connection) bool { return c.Discover })
}

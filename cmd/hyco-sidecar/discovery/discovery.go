// Package discovery asks the relays, at the start, which endpoint stands behind each
// hybrid connection whose endpoint is set to "auto", and puts what they say into the
// settings.
//
// It owns nothing that lasts: the clients and sources of tokens that it asks with end
// with it. It asks for metadata only, so that no listener ever dials its target for
// it, and it asks once: whoever starts the process starts it again if a relay cannot
// be reached.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/credential"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// wait is how long the relays have to answer: two attempts. Probes give a start half
// a minute in places, and a process that they kill does not say what it lacked.
const wait = 20 * time.Second

// atOnce is how many relays are asked at the same time: one that cannot be reached
// holds its place for a while.
const atOnce = 8

// ErrLater means that not every relay could be asked for now; the errors that it is
// joined with say which, and why.
var ErrLater = errors.New("not every endpoint could be asked for")

// Discoverer asks the relays. Its fields are set before Run.
type Discoverer struct {
	// Config are the settings, with the endpoints that are to be found.
	Config config.Config
	// Upstreams are asked for the relays' names, whatever /etc/resolv.conf says: the
	// sidecar's own resolver, which may be named there, does not serve yet. Without one,
	// resolv.conf decides.
	Upstreams []netip.AddrPort
	// Guard wraps what runs on each goroutine; nil leaves it as it is.
	Guard func(f func()) func()
}

// Needed reports whether some endpoint is to be discovered.
func Needed(cfg config.Config) bool {
	return slices.ContainsFunc(cfg.Connections, func(c config.Connection) bool { return c.Discover })
}

// Run returns the settings with the endpoints found, or as they are where none is to
// be discovered. It takes up to 20 s.
//
// The error is [ErrLater] for what may pass, or that of ctx; any other one is about
// the settings, each fault with its variable.
func (d *Discoverer) Run(ctx context.Context) (config.Config, error) {
	var wanted []config.Connection
	for _, c := range d.Config.Connections {
		if c.Discover {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return d.Config, nil
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ids := credential.NewIdentities(d.Config, identity.Options{Resolver: &net.Resolver{PreferGo: true, Dial: d.nameserver()}, Guard: d.Guard})
	defer ids.Close()
	found := d.ask(waiting, wanted, ids)
	if ctx.Err() != nil {
		return config.Config{}, ctx.Err()
	}
	return d.conclude(wanted, found)
}

// answer is what one relay said.
type answer struct {
	endpoint string
	err      error
}

// ask asks all relays.
func (d *Discoverer) ask(ctx context.Context, wanted []config.Connection, ids *credential.Identities) []answer {
	found := make([]answer, len(wanted))
	var asking errgroup.Group
	asking.SetLimit(atOnce)
	for i, c := range wanted {
		asking.Go(func() error {
			d.guarded(func() { found[i] = d.askOne(ctx, c, ids) })()
			return nil
		})
	}
	_ = asking.Wait() // none of them fails: what goes wrong is an answer
	return found
}

func (d *Discoverer) askOne(ctx context.Context, c config.Connection, ids *credential.Identities) (a answer) {
	client := &relayclient.Client{
		Namespace:  c.Namespace,
		RootCAs:    d.Config.RootCAs,
		UserAgent:  plan.UserAgent(),
		Nameserver: d.nameserver(),
		Control:    plan.Control(d.Config),
		Guard:      d.Guard,
	}
	defer client.Close()
	said, err := client.Describe(ctx, relayclient.Request{Entity: c.Entity, Tokens: relayclient.NewRollover(ids.Tokens(c)...)})
	if err == nil {
		a.endpoint, err = said.Endpoint()
	}
	a.err = err
	return a
}

// conclude puts what was found into the settings.
func (d *Discoverer) conclude(wanted []config.Connection, found []answer) (config.Config, error) {
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
		return config.Config{}, errors.Join(append([]error{ErrLater}, later...)...)
	}
	return d.Config.Discovered(endpoints)
}

// fault says what to do about a connection that cannot be discovered.
func (d *Discoverer) fault(c config.Connection, err error) *config.Fault {
	f := &config.Fault{
		Variable: c.Variable,
		Problem:  "auto: " + plain(err) + " (" + reasonOf(err) + ")",
		Remedy:   `write host:port instead of auto, or give the hybrid connection the metadata [{"key":"endpoint","value":"host:port"}]`,
	}
	if failed, ok := errors.AsType[*relayclient.DialError](err); ok {
		f.Remedy = advice.Next(err)
		if failed.Reason() == "metadata_not_readable" {
			f.Problem = fmt.Sprintf("auto: %s may not read the hybrid connection %q (metadata_not_readable)", credential.Names(c, credential.Kind(d.Config)), c.Entity)
			f.Remedy = "give that key's rule the Listen right as well, or write host:port instead of auto"
			if c.Credential.Entra {
				f.Remedy = advice.Next(err)
			}
		}
	}
	return f
}

// plain is an error's text without the name of its package.
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

// nameserver connects to the upstreams in turn; nil where there are none.
func (d *Discoverer) nameserver() func(ctx context.Context, network, address string) (net.Conn, error) {
	if len(d.Upstreams) == 0 {
		return nil
	}
	var turn atomic.Uint32
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		up := d.Upstreams[int(turn.Add(1)-1)%len(d.Upstreams)]
		return (&net.Dialer{Control: plan.Control(d.Config)}).DialContext(ctx, network, up.String())
	}
}

func (d *Discoverer) guarded(f func()) func() {
	if d.Guard == nil {
		return f
	}
	return d.Guard(f)
}

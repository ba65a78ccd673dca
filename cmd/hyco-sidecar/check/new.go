package check

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/credential"
	"hyco-sidecar/cmd/hyco-sidecar/kernel"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/relayclient"
)

// New returns a Checker of a plan's endpoints that looks at this machine, and dials as
// the sidecar does, with tokens of ids. Guard wraps what runs on each goroutine; nil
// leaves it as it is. New starts nothing.
func New(p plan.Plan, ids *credential.Identities, guard func(f func()) func()) *Checker {
	cfg := p.Config
	c := &Checker{
		Version:      plan.Version(),
		Resolve:      Names{Control: plan.Control(cfg), Guard: guard}.Resolve,
		OwnContainer: inOwnContainer(),
		RootCAs:      cfg.RootCAs,
		Guard:        guard,
	}
	c.listResolvers(cfg)
	if runtime.GOOS == "linux" {
		c.Holder = func(addr netip.AddrPort) (netip.Addr, bool) { return kernel.Holder("tcp", addr) }
	}
	if p.Capture != nil {
		c.Captured = p.Capture.Verify
	}
	for _, e := range p.Endpoints {
		c.Endpoints = append(c.Endpoints, Endpoint{
			Name: e.Name, Host: e.Host, Address: e.Listen, Arrive: e.Arrive, Literal: e.Literal, Namespace: e.Namespace, Entity: e.Entity,
			Credential: credential.Names(e.Connection, credential.Kind(cfg)), Proxy: plan.ProxyHost(e.Namespace),
		})
	}
	d := dialer{plan: p, ids: ids, guard: guard}
	c.Dial, c.Clock = d.dial, d.clock
	return c
}

// listResolvers tells the nameservers of resolv.conf apart, and chooses how the
// sidecar's own is asked.
func (c *Checker) listResolvers(cfg config.Config) {
	listed, _ := dnsproxy.SystemUpstreams(plan.ResolvConf) // where there is no such file, none is listed
	for _, server := range listed {
		if plan.IsResolver(cfg, server) {
			c.Ours = append(c.Ours, server.Addr())
		} else {
			c.Others = append(c.Others, server.Addr())
		}
	}
	at := plan.Reachable(cfg.DNSListen[0])
	if len(c.Ours) > 0 { // the one of ours that apps ask
		at = netip.AddrPortFrom(c.Ours[0], 53)
	}
	c.Self = Names{Server: at, Control: plan.Control(cfg), Guard: c.Guard}.Ask
	if !slices.ContainsFunc(cfg.DNSListen, func(us netip.AddrPort) bool { return us.Port() == 53 }) {
		c.OtherPort = cfg.DNSListen[0].Port()
	}
}

// dialer dials with a client of its own for each question: nothing is warm or
// remembered, so that times are true.
type dialer struct {
	plan  plan.Plan
	ids   *credential.Identities
	guard func(f func()) func()
}

func (d dialer) client(namespace string, hooks relayclient.Hooks) *relayclient.Client {
	return &relayclient.Client{
		Namespace: namespace,
		RootCAs:   d.plan.Config.RootCAs,
		UserAgent: plan.UserAgent(),
		Control:   plan.Control(d.plan.Config),
		Hooks:     hooks,
		Guard:     d.guard,
	}
}

// dial joins an endpoint's hybrid connection, in one attempt with each credential.
func (d dialer) dial(ctx context.Context, e Endpoint, id string) (net.Conn, relayclient.Attempt, error) {
	var attempt relayclient.Attempt
	client := d.client(e.Namespace, relayclient.Hooks{Attempted: func(a relayclient.Attempt) { attempt = a }})
	defer client.Close()
	i := slices.IndexFunc(d.plan.Endpoints, func(one plan.Endpoint) bool { return one.Name == e.Name })
	one := d.plan.Endpoints[i]
	once := make(chan struct{})
	close(once)
	conn, err := client.Dial(ctx, relayclient.Request{
		Entity: e.Entity, Tokens: relayclient.NewRollover(d.ids.Tokens(one.Connection)...), ID: id, Opening: one.Opening(), NoRetry: once,
	})
	if err != nil {
		return nil, attempt, err // not conn, which would be a nil pointer in an interface
	}
	return conn, attempt, nil
}

// clock asks an endpoint's relay for the time.
func (d dialer) clock(ctx context.Context, e Endpoint) (time.Duration, error) {
	client := d.client(e.Namespace, relayclient.Hooks{})
	defer client.Close()
	return client.Clock(ctx)
}

// inOwnContainer reports whether this process was started beside the sidecar, in its
// container: the first process there is then this very program.
func inOwnContainer() bool {
	if os.Getpid() == 1 {
		return false
	}
	first, err := os.Readlink("/proc/1/exe")
	if err != nil {
		return false
	}
	self, err := os.Readlink("/proc/self/exe")
	return err == nil && first == self
}

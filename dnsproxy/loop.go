package dnsproxy

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// LeadsTo reports whether an upstream at this address would be a server that
// listens on listen, which may be a wildcard address: then every address of
// this machine leads there. It sees only direct loops; those that go through
// another resolver are found by Serve. If the machine's addresses cannot be
// listed, a wildcard stands for the loopback addresses alone.
func LeadsTo(upstream, listen netip.AddrPort) bool {
	var local []netip.Addr
	if addrs, err := net.InterfaceAddrs(); err == nil && listen.Addr().IsUnspecified() {
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				local = append(local, prefix.Addr())
			}
		}
	}
	return leadsTo(upstream, listen, local)
}

// leadsTo is LeadsTo on a machine with the given addresses beside loopback.
func leadsTo(upstream, listen netip.AddrPort, local []netip.Addr) bool {
	if upstream.Port() != listen.Port() {
		return false
	}
	to, at := upstream.Addr().Unmap(), listen.Addr().Unmap()
	switch to { // what the kernel connects to instead
	case netip.IPv4Unspecified():
		to = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		to = netip.IPv6Loopback()
	}
	if !at.IsUnspecified() {
		return to == at
	}
	if at.Is4() && !to.Is4() { // [::] takes IPv4 too
		return false
	}
	return to.IsLoopback() || slices.Contains(local, to.WithZone(""))
}

// canaryTries bounds how often an upstream that is silent or fails is asked for
// the canary: a resolver may well become ready only after us, but not much
// later.
const canaryTries = 5

// checkLoop asks an upstream for a name of this instance's alone until it has an
// answer. If the answer is our own, queries sent there come back to us and
// multiply, so the upstream is not used any more. Another sidecar passes the
// name on like any other: one behind us is welcome, one that leads back is not.
func (p *proxy) checkLoop(ctx context.Context, u *upstream) {
	for try := range canaryTries {
		if try > 0 && !sleep(ctx, p.pool.timeout<<(try-1)) {
			return
		}
		if instance, ok := p.pool.askInstance(ctx, u, probeName(p.instance)); ok {
			if instance == p.instance {
				u.loops.Store(true)
				p.log.LogAttrs(ctx, slog.LevelError,
					"DNS upstream leads back to this process and is not used: set HYCO_DNS_UPSTREAMS to resolvers that do not",
					slog.String("upstream", u.addr.String()))
			}
			return
		}
	}
}

// probeName is the name that instance answers and nobody else.
func probeName(instance string) string { return instance + ".loop." + Canary + "." }

// askInstance returns the instance id that an upstream gives for name, "" if it
// has none. ok is false if the upstream could not tell.
func (p *pool) askInstance(ctx context.Context, u *upstream, name string) (instance string, ok bool) {
	m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	raw, err := m.Pack()
	if err != nil {
		return "", false
	}
	q := parseQuery(raw)
	reply, err := p.ask(ctx, u, q, "udp", p.timeout)
	if err != nil || failed(reply) {
		return "", false
	}
	if err := m.Unpack(reply); err != nil {
		return "", true
	}
	for _, rr := range m.Answer {
		txt, isTXT := rr.(*dns.TXT)
		if !isTXT {
			continue
		}
		for _, s := range txt.Txt {
			if id, found := strings.CutPrefix(s, instancePrefix); found {
				return id, true
			}
		}
	}
	return "", true
}

// newInstance returns an id that no other process has.
func newInstance() string { return strings.ToLower(rand.Text()) }

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

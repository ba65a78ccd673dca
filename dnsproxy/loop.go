package dnsproxy

import (
	"context"
	"crypto/rand"
	"errors"
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
// answer.
func (p *proxy) checkLoop(ctx context.Context, u *upstream) {
	for try := range canaryTries {
		if try > 0 && !sleep(ctx, p.pool.timeout<<(try-1)) {
			return
		}
		if instance, err := p.pool.askInstance(ctx, u, probeName(p.instance)); err == nil {
			p.judge(ctx, u, instance)
			return
		}
	}
}

// probeName is the name that instance answers and nobody else.
func probeName(instance string) string { return instance + ".loop." + Canary + "." }

// askInstance returns the instance id that an upstream gives for name, "" if it
// has none; the error tells that the upstream gave no answer.
func (p *pool) askInstance(ctx context.Context, u *upstream, name string) (instance string, err error) {
	m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	raw, err := m.Pack()
	if err != nil {
		return "", err
	}
	reply, err := p.probe(ctx, u, parseQuery(raw))
	if err != nil {
		return "", err
	}
	if err := m.Unpack(reply); err != nil {
		return "", nil
	}
	for _, rr := range m.Answer {
		txt, isTXT := rr.(*dns.TXT)
		if !isTXT {
			continue
		}
		for _, s := range txt.Txt {
			if id, found := strings.CutPrefix(s, instancePrefix); found {
				return id, nil
			}
		}
	}
	return "", nil
}

// errUnwell is the failure of an upstream that is there, and says that it fails.
var errUnwell = errors.New("it answers SERVFAIL or REFUSED")

// probe has one upstream answer q over UDP.
func (p *pool) probe(ctx context.Context, u *upstream, q *query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	l, err := p.lane(ctx, u)
	if err != nil {
		return nil, err
	}
	results := make(chan result, 1)
	a := &asking{u: u, q: q, results: results}
	defer l.forget(a)
	if err := l.ask(a); err != nil {
		return nil, err
	}
	select {
	case r := <-results:
		if r.err == nil && failed(r.reply) {
			r.err = errUnwell
		}
		return r.reply, r.err
	case <-ctx.Done():
		return nil, errSilent
	}
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

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/relayclient"
)

// preflight looks around once everything is bound, beside the serving: whether
// names can come here, where others go, and whether the relays can be reached.
// Nothing waits for it.
type preflight struct {
	cfg        config.Config
	endpoints  []endpoint
	identities *identities
	upstreams  []netip.AddrPort
	resolvConf string // the file

	// clock is told by how much this machine's clock differs from a relay's, for
	// each namespace that answers. Nil means nobody.
	clock   func(namespace string, offset time.Duration)
	guarded func(f func()) func() // wraps what runs on each goroutine
}

// preflightWait bounds the whole.
const preflightWait = 5 * time.Second

// run returns what it finds, faults first.
func (p *preflight) run(ctx context.Context) []admin.Finding {
	ctx, cancel := context.WithTimeout(ctx, preflightWait)
	defer cancel()
	looks := []func(context.Context) []admin.Finding{p.names, p.others, p.loops, p.ports, p.routes, p.signatures}
	asked := make(map[string]bool)
	for _, e := range p.endpoints {
		if !asked[e.Namespace] { // whose endpoints share a client: the first one's asks
			asked[e.Namespace] = true
			looks = append(looks, func(ctx context.Context) []admin.Finding { return p.relay(ctx, e) })
		}
	}
	for _, source := range p.identities.all() {
		looks = append(looks, func(ctx context.Context) []admin.Finding { return p.identity(ctx, source) })
	}
	found := make([][]admin.Finding, len(looks))
	places := make(chan struct{}, 8) // relays that are asked at once
	var looking sync.WaitGroup
	for i, look := range looks {
		looking.Go(p.guarded(func() {
			select {
			case places <- struct{}{}:
				found[i] = look(ctx)
				<-places
			case <-ctx.Done(): // nothing is known of it
			}
		}))
	}
	looking.Wait()
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b admin.Finding) int { return cmp.Compare(severity(b.Level), severity(a.Level)) })
	return all
}

// Levels of findings.
const (
	levelOK      = "ok"
	levelWarning = "warning" // may be meant so
	levelError   = "error"   // something will not work
)

func severity(level string) int {
	return slices.Index([]string{levelOK, levelWarning, levelError}, level)
}

func fine(code, text string, args ...any) []admin.Finding {
	return []admin.Finding{{Level: levelOK, Code: code, Text: fmt.Sprintf(text, args...)}}
}

// fault is one finding. Next is what to do, empty where that is the step that advice
// has for the code.
func fault(level, code, next, text string, args ...any) []admin.Finding {
	return []admin.Finding{{Level: level, Code: code, Text: fmt.Sprintf(text, args...), Next: cmp.Or(next, advice.NextFor(code)), See: advice.See(code)}}
}

// names looks whether the machine's resolver is us.
func (p *preflight) names(context.Context) []admin.Finding {
	listed, err := dnsproxy.SystemUpstreams(p.resolvConf)
	if err != nil || !slices.ContainsFunc(p.cfg.DNSListen, func(us netip.AddrPort) bool { return us.Port() == 53 }) {
		return nil // no file to name us in, or no way to write our port into it
	}
	others := slices.DeleteFunc(slices.Clone(listed), func(server netip.AddrPort) bool { return isResolver(p.cfg, server) })
	switch {
	case len(listed) > 0 && len(others) == 0:
		return fine("resolv_conf", "%s names this resolver alone", p.resolvConf)
	case len(others) < len(listed):
		return fault(levelWarning, "resolv_conf_more_nameservers", "",
			"%s names this resolver and %s", p.resolvConf, addresses(others))
	case os.Getpid() == 1:
		return fine("resolv_conf_elsewhere", "%s of this container names %s; that of the app's container counts", p.resolvConf, addresses(others))
	}
	return fault(levelWarning, "resolv_conf_elsewhere", "have the app's /etc/resolv.conf name "+p.cfg.DNSListen[0].Addr().String()+" and no other; where it has a file of its own that does, all is well",
		"%s does not name this resolver", p.resolvConf)
}

func addresses(addrs []netip.AddrPort) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.Addr().String())
	}
	return strings.Join(all, ", ")
}

// others looks whether there is anybody to ask for other names.
func (p *preflight) others(context.Context) []admin.Finding {
	if len(p.upstreams) > 0 {
		return nil
	}
	return fault(levelWarning, "no_upstreams", "", "no resolver for other names: they get SERVFAIL")
}

// loops asks the upstreams for a name that this process alone knows.
func (p *preflight) loops(ctx context.Context) []admin.Finding {
	self := check.Names{Server: p.cfg.DNSListen[0]}.Who(ctx).Instance
	if self == "" {
		return nil // stopped meanwhile
	}
	found := make([][]admin.Finding, len(p.upstreams))
	var asking sync.WaitGroup
	for i, up := range p.upstreams {
		asking.Go(p.guarded(func() {
			if (check.Names{Server: up}).LeadsTo(ctx, self) {
				found[i] = fault(levelError, "upstream_loops", "",
					"the resolver %s asks this sidecar in turn: other names get no answer through it", up)
			}
		}))
	}
	asking.Wait()
	return slices.Concat(found...)
}

// ports tells that all is bound, or the process would not have come so far; what
// cannot be is told by bind.
func (p *preflight) ports(context.Context) []admin.Finding {
	if p.cfg.Capture == config.Redirect {
		return fine("captured", "connections to %d endpoints are led to port %d", len(p.endpoints), p.cfg.CapturePort)
	}
	return fine("ports_bound", "%d endpoints and the resolver are bound", len(p.endpoints))
}

// routes looks for endpoints that the kernel would not even begin to connect to: it
// chooses a way before the rules are asked.
func (p *preflight) routes(ctx context.Context) []admin.Finding {
	var unrouted []string
	for _, e := range p.endpoints {
		if !e.Literal {
			continue
		}
		conn, err := new(net.Dialer).DialContext(ctx, "udp", e.listen.String()) // which sends nothing
		switch {
		case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
			unrouted = append(unrouted, e.name)
		case err == nil:
			if from, ok := conn.LocalAddr().(*net.UDPAddr); ok && from.IP.IsLinkLocalUnicast() { // whose packets get no answer
				unrouted = append(unrouted, e.name)
			}
			conn.Close()
		}
	}
	if len(unrouted) == 0 {
		return nil
	}
	return fault(levelError, "no_route_to_endpoint", "",
		"no route leads to %s: apps get an error before the connection can be captured", strings.Join(unrouted, ", "))
}

// signatures looks for ready-made ones that end within a day.
func (p *preflight) signatures(context.Context) []admin.Finding {
	var found []admin.Finding
	for _, s := range signatures(p.cfg.Connections) {
		level, verb, left := levelWarning, "ends", time.Until(s.expires)
		if left <= 0 {
			level, verb = levelError, "ended"
		}
		if left <= warnAhead[0] {
			found = append(found, fault(level, "signature_ends_soon", "", "the SharedAccessSignature in %s %s at %s", s.variable, verb, s.until())...)
		}
	}
	return found
}

// relay makes an ordinary request to an endpoint's namespace.
func (p *preflight) relay(ctx context.Context, e endpoint) []admin.Finding {
	var found []admin.Finding
	if proxy := proxyFor(e.Namespace); proxy != "" {
		found = fine("proxy_in_use", "%s is reached through the proxy %s", e.Namespace, proxy)
	}
	offset, err := e.client.Clock(ctx)
	switch failed, _ := errors.AsType[*relayclient.DialError](err); {
	case failed != nil && ctx.Err() == context.Canceled:
		return nil
	case failed != nil:
		return append(found, fault(levelError, failed.Reason(), advice.Next(failed), "%s", strings.TrimPrefix(failed.Error(), "relayclient: "))...)
	}
	if p.clock != nil && offset != 0 {
		p.clock(e.Namespace, offset)
	}
	if offset.Abs() > relayclient.ClockTolerance {
		return append(found, fault(levelError, "clock_wrong", "",
			"this machine's clock is %s, by what %s says", relayclient.DescribeOffset(offset), e.Namespace)...)
	}
	return append(found, fine("relay_reached", "%s answers", e.Namespace)...)
}

// identity looks whether there is a token of Entra ID.
func (p *preflight) identity(ctx context.Context, source *identity.Source) []admin.Finding {
	_, err := source.Token(ctx, "")
	failed, _ := errors.AsType[*identity.Failure](err)
	switch expires, _ := source.Expiry(); {
	case ctx.Err() == context.Canceled:
		return nil
	case failed != nil:
		return fault(levelError, "token_failed", advice.Next(failed), "%s: %s", source, failed)
	case err != nil:
		return fault(levelError, "token_failed", "wait: hyco-sidecar check tells what keeps it from coming", "%s: no token has come within %s", source, preflightWait)
	default:
		return fine("token_obtained", "%s: a token that is good until %s", source, expires.UTC().Format(time.RFC3339))
	}
}

// logPreflight writes the one line about what was found.
func logPreflight(ctx context.Context, log *slog.Logger, found []admin.Finding) {
	level, faults, rest := slog.LevelInfo, []string{}, []string{}
	for _, f := range found {
		if f.Level == levelOK {
			rest = append(rest, f.Text)
			continue
		}
		level = slog.LevelWarn
		faults = append(faults, fmt.Sprintf("%s: %s: %s (%s)", f.Code, f.Text, f.Next, f.See))
	}
	log.LogAttrs(ctx, level, "preflight", slog.Any("findings", faults), slog.Any("fine", rest))
}

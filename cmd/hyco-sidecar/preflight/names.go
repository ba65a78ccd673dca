package preflight

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/dnsproxy"
)

// names looks whether the machine's resolver is us.
func (p *Preflight) names(context.Context) []admin.Finding {
	listed, err := dnsproxy.SystemUpstreams(p.ResolvConf)
	if err != nil || !slices.ContainsFunc(p.Plan.Config.DNSListen, func(us netip.AddrPort) bool { return us.Port() == 53 }) {
		return nil // no file to name us in, or no way to write our port into it
	}
	others := slices.DeleteFunc(slices.Clone(listed), func(server netip.AddrPort) bool { return plan.IsResolver(p.Plan.Config, server) })
	switch {
	case len(listed) > 0 && len(others) == 0:
		return fine("resolv_conf", "%s names this resolver alone", p.ResolvConf)
	case len(others) < len(listed):
		return fault(levelWarning, "resolv_conf_more_nameservers", "",
			"%s names this resolver and %s", p.ResolvConf, addresses(others))
	case os.Getpid() == 1:
		return fine("resolv_conf_elsewhere", "%s of this container names %s; that of the app's container counts", p.ResolvConf, addresses(others))
	}
	next := "have the app's /etc/resolv.conf name " + p.Plan.Config.DNSListen[0].Addr().String() +
		" and no other; where it has a file of its own that does, all is well"
	return fault(levelWarning, "resolv_conf_elsewhere", next, "%s does not name this resolver", p.ResolvConf)
}

func addresses(addrs []netip.AddrPort) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.Addr().String())
	}
	return strings.Join(all, ", ")
}

// others looks whether there is anybody to ask for other names.
func (p *Preflight) others(context.Context) []admin.Finding {
	if len(p.Plan.Upstreams) > 0 {
		return nil
	}
	return fault(levelWarning, "no_upstreams", "", "no resolver for other names: they get SERVFAIL")
}

// loops asks the upstreams for a name that this process alone knows.
func (p *Preflight) loops(ctx context.Context) []admin.Finding {
	self := check.Names{Server: p.Plan.Config.DNSListen[0], Guard: p.Guard}.Who(ctx).Instance
	if self == "" {
		return nil // stopped meanwhile
	}
	found := make([][]admin.Finding, len(p.Plan.Upstreams))
	var asking sync.WaitGroup
	for i, up := range p.Plan.Upstreams {
		asking.Go(p.guarded(func() {
			if (check.Names{Server: up, Guard: p.Guard}).LeadsTo(ctx, self) {
				found[i] = fault(levelError, "upstream_loops", "",
					"the resolver %s asks this sidecar in turn: other names get no answer through it", up)
			}
		}))
	}
	asking.Wait()
	return slices.Concat(found...)
}

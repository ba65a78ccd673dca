package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
)

// ResolvConf is the machine's list of nameservers.
const ResolvConf = "/etc/resolv.conf"

// ErrNoUpstreams means that names which are not configured have no resolver.
var ErrNoUpstreams = errors.New("no nameserver other than this sidecar is listed")

// Upstreams returns where names that are not configured are asked for: what was set,
// or else the nameservers of resolvConf without the sidecar itself.
//
// The error is a *[config.Fault] for a setting that leads back to the sidecar. It is
// [ErrNoUpstreams], with the file's error where that cannot be read, for a machine
// that lists no other nameserver: the sidecar serves all the same.
func Upstreams(cfg config.Config, resolvConf string) ([]netip.AddrPort, error) {
	isUs := func(up netip.AddrPort) bool { return IsResolver(cfg, up) }
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
	listed, err := dnsproxy.SystemUpstreams(resolvConf)
	upstreams := slices.DeleteFunc(listed, isUs)
	switch {
	case len(upstreams) > 0:
		return upstreams, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoUpstreams, err)
	}
	return nil, ErrNoUpstreams
}

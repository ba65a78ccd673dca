package dnsproxy

import (
	"net"
	"net/netip"
	"slices"
)

// LeadsTo reports whether an upstream at this address would be a server that
// listens on listen. Listen may be a wildcard address: then every address of this
// machine leads there, or the loopback addresses alone if the machine's addresses
// cannot be listed. LeadsTo sees only direct loops; [Server.Serve] finds those
// that go through another resolver.
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

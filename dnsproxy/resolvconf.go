package dnsproxy

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// SystemUpstreams returns the nameservers of a file in the format of
// resolv.conf(5), in their order and with port 53, each once. The zone of a
// link-local IPv6 address is kept. Lines that are not understood are skipped,
// as the C library does; a file without nameservers gives an empty list. An error
// means that the file could not be read, and wraps that of [os.ReadFile].
func SystemUpstreams(path string) ([]netip.AddrPort, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("dnsproxy: %w", err)
	}
	var upstreams []netip.AddrPort
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(fields[1])
		if err != nil {
			continue
		}
		upstream := netip.AddrPortFrom(addr.Unmap(), 53)
		if !slices.Contains(upstreams, upstream) {
			upstreams = append(upstreams, upstream)
		}
	}
	return upstreams, nil
}

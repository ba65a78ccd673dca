package kernel

import (
	"os"
	"strings"
)

// FirstUnprivilegedPort is the lowest port that a process without the capability
// NET_BIND_SERVICE may bind here (ip_sysctl: ip_unprivileged_port_start), or the
// kernel's default of 1024 where that cannot be read.
func FirstUnprivilegedPort() string {
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		return strings.TrimSpace(string(text))
	}
	return "1024"
}

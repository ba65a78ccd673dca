package sidecar

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/kernel"
)

// bindReport is the text of all faults together.
func bindReport(faults []error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of the addresses cannot be bound:", len(faults))
	if len(faults) == 1 {
		b.Reset()
		b.WriteString("one address cannot be bound:")
	}
	for _, f := range faults {
		b.WriteString("\n  " + f.Error())
	}
	return b.String()
}

// capturePort is the setting behind the addresses where captured connections arrive.
const capturePort = "HYCO_CAPTURE_PORT"

// bindError says who wanted the address, what is wrong, and what helps.
func bindError(who, network string, addr netip.AddrPort, err error) error {
	problem, remedy, label := err.Error(), "choose another address", "port_not_bindable"
	switch {
	case errors.Is(err, syscall.EACCES):
		problem = "this user may not bind ports below " + kernel.FirstUnprivilegedPort()
		remedy = "set the sysctl net.ipv4.ip_unprivileged_port_start=0 for the container or pod (Docker does by itself), or add the capability NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRINUSE):
		problem, remedy, label = inUse(network, addr)
		if who == capturePort {
			remedy = "set HYCO_CAPTURE_PORT to a port that is free on every address, from 1024 to 32767, here and where the rules are installed"
		}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		problem, remedy = "the limit of open files is reached", "raise it (ulimit -n)"
	case errors.Is(err, syscall.EADDRNOTAVAIL) && addr.Addr() == netip.IPv6Loopback():
		problem = "IPv6 is switched off in this network namespace"
		remedy = "leave out endpoints that are IPv6 addresses, or switch it on (sysctl net.ipv6.conf.lo.disable_ipv6=0)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		problem = "it is not an address of this machine"
		remedy = "choose one of 127.0.0.0/8"
	}
	return fmt.Errorf("%s: %s %s: %s: %s (%s)", who, network, addr, problem, remedy, advice.See(label))
}

// inUse explains an address conflict. A socket on the wildcard address holds its
// port on every address, ours included, whoever came first.
func inUse(network string, addr netip.AddrPort) (problem, remedy, label string) {
	switch holder, found := kernel.Holder(network, addr); {
	case !found:
		return "the address is in use", "stop whatever holds it, or choose another address or port", "port_not_bindable"
	case holder.IsUnspecified():
		return fmt.Sprintf("another process in this network namespace listens on %s, which takes port %d on every address",
				netip.AddrPortFrom(holder, addr.Port()), addr.Port()),
			"let that process listen on the pod's or container's own address or on 127.0.0.1, or on another port", "port_trap"
	default:
		return "another process in this network namespace has it", "stop that process (a second sidecar?), or choose another address or port", "port_not_bindable"
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-multierror"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/forwarder"
)

// sockets are all that the program listens on.
type sockets struct {
	packets   []net.PacketConn // DNS over UDP
	streams   []net.Listener   // DNS over TCP
	admin     []net.Listener   // probes, metrics and status page
	endpoints []forwarder.Listener
	canary    net.Listener // of capture; nil without
}

func (s *sockets) close() {
	for _, c := range s.packets {
		c.Close()
	}
	for _, l := range s.streams {
		l.Close()
	}
	for _, l := range s.admin {
		l.Close()
	}
	for _, l := range s.endpoints {
		l.Close()
	}
	if s.canary != nil {
		s.canary.Close()
	}
}

// bind opens every socket before anything serves, or none: its error reports
// all that cannot be bound, each with the setting behind it and the remedy. Lanes is
// nil unless connections are captured.
func bind(ctx context.Context, dns, operator []netip.AddrPort, endpoints []endpoint, lanes *capture.Plan) (*sockets, error) {
	var s sockets
	var faults *multierror.Error
	var lc net.ListenConfig
	for _, addr := range dns {
		packets, err := lc.ListenPacket(ctx, "udp"+family(addr, dns), addr.String())
		if err != nil {
			faults = multierror.Append(faults, bindError("HYCO_DNS_LISTEN", "udp", addr, err))
		} else {
			s.packets = append(s.packets, packets)
		}
		stream, err := lc.Listen(ctx, "tcp"+family(addr, dns), addr.String())
		if err != nil {
			faults = multierror.Append(faults, bindError("HYCO_DNS_LISTEN", "tcp", addr, err))
		} else {
			s.streams = append(s.streams, stream)
		}
	}
	for _, addr := range operator {
		ln, err := lc.Listen(ctx, "tcp"+family(addr, operator), addr.String())
		if err != nil {
			faults = multierror.Append(faults, bindError("HYCO_ADMIN_LISTEN", "tcp", addr, err))
			continue
		}
		s.admin = append(s.admin, ln)
	}
	// The apps are on this machine: the kernel tells when one is gone, so probes
	// are of no use, and neither are several paths.
	local := net.ListenConfig{KeepAlive: -1}
	local.SetMultipathTCP(false)
	if lanes != nil {
		local.KeepAlive = capturedKeepAlive
	}
	listen := func(who string, addr netip.AddrPort) (net.Listener, error) {
		ln, err := local.Listen(ctx, "tcp", addr.String())
		if setting := ours(addr, dns, operator); err != nil && setting != "" {
			return nil, fmt.Errorf("%s: tcp %s: the sidecar itself has it (%s): give one of them another address or port (%s)", who, addr, setting, advice.See("port_not_bindable"))
		}
		if err != nil {
			return nil, bindError(who, "tcp", addr, err)
		}
		return ln, nil
	}
	for _, e := range endpoints {
		who := "endpoint " + e.name + " (" + e.Variable + ")"
		if lanes != nil {
			if setting := ours(e.listen, dns, operator); setting != "" {
				faults = multierror.Append(faults, fmt.Errorf("%s: tcp %s: the sidecar itself listens there (%s), and would be captured: give one of them another address or port (%s)", who, e.listen, setting, advice.See("port_not_bindable")))
			}
			who = capturePort
		}
		ln, err := listen(who, e.arrive)
		if err != nil {
			faults = multierror.Append(faults, err)
			if lanes != nil { // one port for all: the others will not do either
				break
			}
			continue
		}
		s.endpoints = append(s.endpoints, forwarder.Listener{Listener: ln, Target: e.name, Traffic: e.traffic})
	}
	if lanes != nil && len(s.endpoints) == len(endpoints) {
		var err error
		if s.canary, err = listen(capturePort, lanes.Canary.To); err != nil {
			faults = multierror.Append(faults, err)
		}
	}
	if faults != nil {
		s.close()
		faults.ErrorFormat = bindReport
		return nil, faults
	}
	return &s, nil
}

// capturedKeepAlive is how often the kernel probes a captured connection that is
// idle. By itself it forgets where a connection leads of which one side has ended,
// after a minute without a packet (nf_conntrack_tcp_timeout_close_wait), and what the
// other side then sends would be nobody's. The rules give it a day; this is for
// kernels whose rules cannot.
const capturedKeepAlive = 15 * time.Second

// family ends the network's name for addr, one of several. 0.0.0.0 is IPv4 alone,
// as it says; [::] is both, unless 0.0.0.0 has the port.
func family(addr netip.AddrPort, all []netip.AddrPort) string {
	switch {
	case addr.Addr().Is4():
		return "4"
	case addr.Addr() == netip.IPv6Unspecified() && slices.Contains(all, netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port())):
		return "6"
	}
	return ""
}

// ours is the setting by which this process itself listens on addr, "" for none.
func ours(addr netip.AddrPort, dns, operator []netip.AddrPort) string {
	covers := func(own netip.AddrPort) bool {
		return own == addr || own.Port() == addr.Port() && own.Addr().IsUnspecified()
	}
	switch {
	case slices.ContainsFunc(dns, covers):
		return "HYCO_DNS_LISTEN"
	case slices.ContainsFunc(operator, covers):
		return "HYCO_ADMIN_LISTEN"
	}
	return ""
}

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

// capturePort is whose places captured connections need.
const capturePort = "HYCO_CAPTURE_PORT"

// bindError says who wanted the address, what is wrong, and what helps.
func bindError(who, network string, addr netip.AddrPort, err error) error {
	problem, remedy, label := err.Error(), "choose another address", "port_not_bindable"
	switch {
	case errors.Is(err, syscall.EACCES):
		problem = "this user may not bind ports below " + firstUnprivilegedPort()
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
	switch holder, found := holder(network, addr); {
	case !found:
		return "the address is in use", "stop whatever holds it, or choose another address or port", "port_not_bindable"
	case holder.IsUnspecified():
		return fmt.Sprintf("another process in this network namespace listens on %s, which takes port %d on every address", netip.AddrPortFrom(holder, addr.Port()), addr.Port()),
			"let that process listen on the pod's or container's own address or on 127.0.0.1, or on another port", "port_trap"
	default:
		return "another process in this network namespace has it", "stop that process (a second sidecar?), or choose another address or port", "port_not_bindable"
	}
}

// firstUnprivilegedPort is the kernel's word, or its default.
func firstUnprivilegedPort() string {
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		return strings.TrimSpace(string(text))
	}
	return "1024"
}

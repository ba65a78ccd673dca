package sidecar

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

// sockets are all that the program listens on, until the parts that serve them own
// them.
type sockets struct {
	packets   []net.PacketConn // DNS over UDP
	streams   []net.Listener   // DNS over TCP
	admin     []net.Listener   // probes, metrics and status page
	endpoints []net.Listener   // in the order in which bind was given them
	canary    net.Listener     // of capture; nil without
}

func (s *sockets) close() {
	for _, c := range s.packets {
		c.Close()
	}
	for _, l := range slices.Concat(s.streams, s.admin, s.endpoints) {
		l.Close()
	}
	if s.canary != nil {
		s.canary.Close()
	}
}

// bind opens every socket before anything serves, or none: its error reports all that
// cannot be bound, each with the setting behind it and the remedy. Endpoints are those
// of p that are to be bound.
func bind(ctx context.Context, p plan.Plan, endpoints []plan.Endpoint) (*sockets, error) {
	b := binder{plan: p}
	b.bindResolver(ctx)
	b.bindAdmin(ctx)
	b.bindEndpoints(ctx, endpoints)
	if b.faults != nil {
		b.sockets.close()
		b.faults.ErrorFormat = bindReport
		return nil, b.faults
	}
	return &b.sockets, nil
}

// binder collects what could be bound, and what could not.
type binder struct {
	plan    plan.Plan
	sockets sockets
	faults  *multierror.Error
}

func (b *binder) report(err error) { b.faults = multierror.Append(b.faults, err) }

// bindResolver binds HYCO_DNS_LISTEN, for UDP and TCP.
func (b *binder) bindResolver(ctx context.Context) {
	var lc net.ListenConfig
	all := b.plan.Config.DNSListen
	for _, addr := range all {
		if packets, err := lc.ListenPacket(ctx, "udp"+family(addr, all), addr.String()); err != nil {
			b.report(bindError("HYCO_DNS_LISTEN", "udp", addr, err))
		} else {
			b.sockets.packets = append(b.sockets.packets, packets)
		}
		if stream, err := lc.Listen(ctx, "tcp"+family(addr, all), addr.String()); err != nil {
			b.report(bindError("HYCO_DNS_LISTEN", "tcp", addr, err))
		} else {
			b.sockets.streams = append(b.sockets.streams, stream)
		}
	}
}

// bindAdmin binds HYCO_ADMIN_LISTEN.
func (b *binder) bindAdmin(ctx context.Context) {
	var lc net.ListenConfig
	all := b.plan.Config.AdminListen
	for _, addr := range all {
		if ln, err := lc.Listen(ctx, "tcp"+family(addr, all), addr.String()); err != nil {
			b.report(bindError("HYCO_ADMIN_LISTEN", "tcp", addr, err))
		} else {
			b.sockets.admin = append(b.sockets.admin, ln)
		}
	}
}

// bindEndpoints binds where the connections of endpoints arrive, and the canary of
// captured ones.
func (b *binder) bindEndpoints(ctx context.Context, endpoints []plan.Endpoint) {
	captured := b.plan.Capture != nil
	for _, e := range endpoints {
		who := "endpoint " + e.Name + " (" + e.Variable + ")"
		if captured {
			if setting := ours(e.Listen, b.plan.Config); setting != "" {
				b.report(fmt.Errorf("%s: tcp %s: the sidecar itself listens there (%s), and would be captured: give one of them another address or port (%s)",
					who, e.Listen, setting, advice.See("port_not_bindable")))
			}
			who = capturePort
		}
		ln, err := b.listenForApps(ctx, who, e.Arrive)
		if err != nil {
			b.report(err)
			if captured { // one port for all: the others will not do either
				break
			}
			continue
		}
		b.sockets.endpoints = append(b.sockets.endpoints, ln)
	}
	if captured && len(b.sockets.endpoints) == len(endpoints) {
		var err error
		if b.sockets.canary, err = b.listenForApps(ctx, capturePort, b.plan.Capture.Canary.To); err != nil {
			b.report(err)
		}
	}
}

// listenForApps binds addr for connections of apps. They are on this machine: the
// kernel tells when one is gone, so probes are of no use, and neither are several paths.
func (b *binder) listenForApps(ctx context.Context, who string, addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	if b.plan.Capture != nil {
		lc.KeepAlive = capturedKeepAlive
	}
	ln, err := lc.Listen(ctx, "tcp", addr.String())
	if setting := ours(addr, b.plan.Config); err != nil && setting != "" {
		return nil, fmt.Errorf("%s: tcp %s: the sidecar itself has it (%s): give one of them another address or port (%s)",
			who, addr, setting, advice.See("port_not_bindable"))
	}
	if err != nil {
		return nil, bindError(who, "tcp", addr, err)
	}
	return ln, nil
}

// capturedKeepAlive is how often the kernel probes a captured connection that is idle.
// Without probes connection tracking forgets, after a minute without a packet
// (nf_conntrack_tcp_timeout_close_wait), where a connection leads of which one side has
// ended, and what the other side then sends reaches nobody. The capture rules make that
// minute a day; the probes are for kernels on which the rules cannot.
const capturedKeepAlive = 15 * time.Second

// family is the suffix of the network's name for addr, which is one of all. 0.0.0.0
// stands for IPv4 alone; [::] stands for both, unless 0.0.0.0 has the port as well.
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
func ours(addr netip.AddrPort, cfg config.Config) string {
	covers := func(own netip.AddrPort) bool {
		return own == addr || own.Port() == addr.Port() && own.Addr().IsUnspecified()
	}
	switch {
	case slices.ContainsFunc(cfg.DNSListen, covers):
		return "HYCO_DNS_LISTEN"
	case slices.ContainsFunc(cfg.AdminListen, covers):
		return "HYCO_ADMIN_LISTEN"
	}
	return ""
}

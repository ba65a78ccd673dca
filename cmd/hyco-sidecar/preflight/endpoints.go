package preflight

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/config"
)

// ports tells that all is bound: the process does not come so far otherwise.
func (p *Preflight) ports(context.Context) []admin.Finding {
	if p.Plan.Config.Capture == config.Redirect {
		return fine("captured", "connections to %d endpoints are led to port %d", len(p.Plan.Endpoints), p.Plan.Config.CapturePort)
	}
	return fine("ports_bound", "%d endpoints and the resolver are bound", len(p.Plan.Endpoints))
}

// routes looks for endpoints that the kernel would not even begin to connect to: it
// chooses a route before it applies the rules.
func (p *Preflight) routes(ctx context.Context) []admin.Finding {
	var unrouted []string
	for _, e := range p.Plan.Endpoints {
		if !e.Literal {
			continue
		}
		conn, err := new(net.Dialer).DialContext(ctx, "udp", e.Listen.String()) // which sends nothing
		switch {
		case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
			unrouted = append(unrouted, e.Name)
		case err == nil:
			if from, ok := conn.LocalAddr().(*net.UDPAddr); ok && from.IP.IsLinkLocalUnicast() { // whose packets get no answer
				unrouted = append(unrouted, e.Name)
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

package plan

import (
	"net"
	"net/netip"
	"strconv"

	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// Endpoint is one place where the app connects, and where that leads, as the settings
// say it.
type Endpoint struct {
	// Name is host:port as the app writes it. No two endpoints of a plan share one.
	Name string
	// Listen is where the app connects: the stand-in address, or the address itself,
	// and the app's port.
	Listen netip.AddrPort
	// Arrive is where connections are accepted: Listen, unless they are captured.
	Arrive netip.AddrPort
	// Connection is the hybrid connection behind the endpoint.
	config.Connection
}

// Name is a connection's endpoint as the app writes it.
func Name(c config.Connection) string { return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) }

// Opening is what the endpoint's listener expects first; nil means nothing, as a
// Hybrid Connection Manager does.
func (e Endpoint) Opening() relayclient.Opening {
	switch e.Listener {
	case config.Azbridge:
		return relayclient.Azbridge(e.PortName)
	case config.Aztunnel:
		return relayclient.Aztunnel(e.Name)
	}
	return nil
}

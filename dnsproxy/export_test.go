package dnsproxy

import (
	"context"
	"net"
)

// SetDial has the upstreams reached by dial instead of the network.
func (s *Server) SetDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	s.dial = dial
}

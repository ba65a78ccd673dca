//go:build !linux

package dnsproxy

import "net"

// reportDestination does nothing here.
func reportDestination(*net.UDPConn) bool { return false }

//go:build !linux

package dnsproxy

import "net"

// reportDestination reports false: the option that it sets is asked for on Linux
// only, where the sidecar runs.
func reportDestination(*net.UDPConn) bool { return false }

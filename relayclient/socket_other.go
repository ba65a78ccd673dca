//go:build !unix

package relayclient

import "net"

// newSocket knows no way to read without waiting on this system.
func newSocket(*net.TCPConn) *socket { return nil }

func (s *socket) await() {}

func (s *socket) poll([]byte) (int, error) { return 0, errNotYet }

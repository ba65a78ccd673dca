//go:build !unix

package relayclient

import "net"

// newSocket knows no way to read without waiting on this system.
func newSocket(*net.TCPConn) *socket { return nil }

func (s *socket) await(awaited) bool { return false }

func (s *socket) poll([]byte) (int, error) { return 0, errNotYet }

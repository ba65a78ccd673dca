//go:build !unix

package relayclient

import "net"

// newSocket returns nil: this system gives no way to read without waiting.
func newSocket(*net.TCPConn) *socket { return nil }

func (s *socket) await(prober) bool { return false }

func (s *socket) poll([]byte) (int, error) { return 0, errNotYet }

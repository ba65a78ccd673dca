//go:build unix

package relayclient

import (
	"io"
	"net"
	"os"
	"syscall"
)

// newSocket owns conn. The socket is nil where conn cannot be read without
// waiting.
func newSocket(conn *net.TCPConn) *socket {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{TCPConn: conn, raw: raw}
	s.attempt, s.look = s.readNow, s.lookNow
	return s
}

func (s *socket) readNow(fd uintptr) bool {
	for {
		s.n, s.err = syscall.Read(int(fd), s.p)
		if s.err != syscall.EINTR {
			return true
		}
	}
}

// lookNow reports whether there is anything to read, an end or an error included.
func (s *socket) lookNow(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case nil:
		default:
			s.lost = err // which the kernel tells only once
		}
		return true
	}
}

// await blocks until there is something to read, the end of it all included.
func (s *socket) await() {
	_ = s.raw.Read(s.look) // whose error the next read meets too
	s.drained = false
}

// poll reads without waiting.
func (s *socket) poll(p []byte) (int, error) {
	s.p = p
	err := s.raw.Read(s.attempt)
	s.p = nil
	switch {
	case s.lost != nil:
		return 0, os.NewSyscallError("read", s.lost)
	case err != nil:
		return 0, err
	case s.err == syscall.EAGAIN:
		return 0, errNotYet
	case s.err != nil:
		return 0, os.NewSyscallError("read", s.err)
	case s.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return s.n, nil
}

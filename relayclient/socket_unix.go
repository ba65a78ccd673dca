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
	s.attempt, s.try = s.readNow, s.tryNow
	return s
}

// await returns when a has come. It tries now, and whenever something has
// arrived: the read that finds nothing is what waiting has to begin with, and
// nobody has to ask the kernel beforehand. The stack that a needs is not kept
// while nothing arrives. False means that waiting has ended otherwise, as the next
// read will. It also returns after some reads in vain: whoever closes the connection
// waits for the descriptor, and a flood of empty frames would keep it.
func (s *socket) await(a awaited) bool {
	s.awaited = a
	err := s.raw.Read(s.try)
	s.awaited = nil
	if err != nil {
		s.drained = false
	}
	return err == nil
}

func (s *socket) tryNow(fd uintptr) bool {
	const most = 16
	s.fd, s.reads = fd, most
	return s.awaited.came() || s.reads < 0
}

// poll reads without waiting.
func (s *socket) poll(p []byte) (n int, err error) {
	s.p = p
	if s.awaited == nil {
		err = s.raw.Read(s.attempt)
	} else if s.reads--; s.reads >= 0 {
		s.readNow(s.fd) // await has the lock that raw.Read takes
	} else {
		s.err = syscall.EAGAIN
	}
	s.p = nil
	switch {
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

func (s *socket) readNow(fd uintptr) bool {
	for {
		s.n, s.err = syscall.Read(int(fd), s.p)
		if s.err != syscall.EINTR {
			return true
		}
	}
}

//go:build unix

package relayclient

import (
	"io"
	"net"
	"os"
	"syscall"
)

// newSocket owns conn. The socket is nil where conn cannot be read without waiting.
func newSocket(conn *net.TCPConn) *socket {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{TCPConn: conn, raw: raw}
	s.readNowFunc, s.probeNowFunc = s.readNow, s.probeNow
	return s
}

// await calls a.probe now and on each readability until it returns true, and returns true
// then. The probe that finds nothing is where waiting has to begin, so nobody asks the kernel
// beforehand; and the stack that a probe needs is not kept while nothing arrives. False means
// that waiting has ended otherwise, which the next read meets too.
//
// It also returns true after 16 reads in vain, so that Close can get the descriptor: a flood of
// empty frames would keep it.
func (s *socket) await(a prober) bool {
	s.prober = a
	err := s.raw.Read(s.probeNowFunc)
	s.prober = nil
	if err != nil {
		s.emptied = false
	}
	return err == nil
}

func (s *socket) probeNow(fd uintptr) bool {
	const maxReads = 16
	s.fd, s.reads = fd, maxReads
	return s.prober.probe() || s.reads < 0
}

// poll reads without waiting.
func (s *socket) poll(p []byte) (n int, err error) {
	s.p = p
	if s.prober == nil {
		err = s.raw.Read(s.readNowFunc)
	} else if s.reads--; s.reads >= 0 {
		s.readNow(s.fd) // await holds the lock that raw.Read takes
	} else {
		s.err = syscall.EAGAIN
	}
	s.p = nil
	switch {
	case err != nil:
		return 0, err
	case s.err == syscall.EAGAIN: //nolint:errorlint // syscall.Read wraps nothing
		return 0, errNotYet
	case s.err != nil:
		return 0, os.NewSyscallError("read", s.err)
	case s.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// readNow reads once.
func (s *socket) readNow(fd uintptr) bool {
	for {
		s.n, s.err = syscall.Read(int(fd), s.p)
		if s.err != syscall.EINTR { //nolint:errorlint // syscall.Read wraps nothing
			return true
		}
	}
}

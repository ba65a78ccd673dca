package relayclient

import (
	"net"
	"syscall"
)

// socket is the TCP connection beneath TLS. Whoever reads through TLS can have
// it say at once that nothing more has arrived: TLS keeps what it has of a
// record and goes on from there, as after a deadline.
type socket struct {
	*net.TCPConn
	raw syscall.RawConn

	// These belong to the reading goroutine.
	nowait  bool // Read returns errNotYet instead of waiting
	drained bool // the last read took all that had arrived
	p       []byte
	n       int
	err     error
	// Made once, for they would be allocated by each read.
	attempt, look func(fd uintptr) bool
}

// errNotYet is temporary, which crypto/tls takes as leave to try again.
var errNotYet net.Error = notYet{}

type notYet struct{}

func (notYet) Error() string   { return "relayclient: nothing has arrived" }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }

// Read reads what has arrived. A read that took less than it could has taken
// everything, so the next one that must not wait need not ask the kernel.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case !s.nowait:
		n, err := s.TCPConn.Read(p)
		s.drained = n < len(p)
		return n, err
	case s.drained:
		return 0, errNotYet
	}
	return s.poll(p)
}

package relayclient

import (
	"net"
	"syscall"
)

// socket is the TCP connection beneath TLS. Whoever reads through TLS can have it say at once
// that nothing more has arrived: TLS keeps what it has of a record and goes on from there, as
// after a deadline.
type socket struct {
	*net.TCPConn
	raw syscall.RawConn

	// These belong to the reading goroutine.
	nowait  bool    // Read returns errNotYet instead of waiting
	emptied bool    // the last read took all that had arrived
	records records // where reads should end
	prober  prober  // whom await calls; nil while it does not wait
	fd      uintptr // the descriptor, while prober is called
	reads   int     // how many more it may make before it has to let go of fd

	p   []byte // where readNow reads to
	n   int    // and what came of it
	err error
	// Methods as values, made once, since each use would allocate one.
	readNowFunc, probeNowFunc func(fd uintptr) bool
}

// prober is who waits for something to arrive.
type prober interface {
	// probe reads without waiting, and reports whether waiting is over.
	probe() bool
}

// errNotYet is a temporary error, after which crypto/tls may be read again.
var errNotYet net.Error = notYet{}

type notYet struct{}

func (notYet) Error() string   { return "relayclient: nothing has arrived" }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }

// Read reads what has arrived, and waits for it unless nowait is set. A read that took less
// than it could has taken everything, so the next one that must not wait need not ask the
// kernel. A read made by await asks anyway, because the kernel signals an end that came with
// those bytes only once.
func (s *socket) Read(p []byte) (n int, err error) {
	if s.nowait && s.emptied && s.prober == nil {
		return 0, errNotYet
	}
	p = p[:min(len(p), s.records.limit())]
	if s.nowait {
		n, err = s.poll(p)
	} else {
		n, err = s.TCPConn.Read(p)
	}
	s.emptied = n < len(p)
	s.records.follow(p[:n])
	return n, err
}

// records follows the TLS records that pass, so that a read can end where one does. What
// crypto/tls is given beyond a record's end it keeps, in a buffer that it then makes twice as
// large, for the life of the connection: 36 KiB instead of 18. The zero value follows nothing.
type records struct {
	on   bool
	head [5]byte // type, version, length: RFC 8446 §5.1
	have int     // bytes of head collected
	left int     // bytes of the record still to come
	size int     // bytes of the latest record, with its head
}

// limit is how many bytes to read at most. Where a record ends, the next one's length is not
// known: most are as long as the one before, and after a small one as much as there is may as
// well be read at once.
func (r *records) limit() int {
	const most, small = 64 << 10, 4 << 10
	switch {
	case !r.on:
		return most
	case r.left > 0:
		return r.left
	case r.have > 0:
		return len(r.head) - r.have
	case r.size <= small:
		return most
	}
	return r.size
}

// follow notes that p was read.
func (r *records) follow(p []byte) {
	for r.on && len(p) > 0 {
		if r.left > 0 {
			n := min(r.left, len(p))
			r.left -= n
			p = p[n:]
			continue
		}
		n := copy(r.head[r.have:], p)
		r.have += n
		p = p[n:]
		if r.have == len(r.head) {
			r.have = 0
			r.left = int(r.head[3])<<8 | int(r.head[4])
			r.size = len(r.head) + r.left
		}
	}
}

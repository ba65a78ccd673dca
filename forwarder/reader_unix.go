//go:build unix

package forwarder

import (
	"io"
	"net"
	"os"
	"syscall"
)

// rawConn is nil where there is no waiting on conn by itself.
func rawConn(conn *net.TCPConn) syscall.RawConn {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil // closed, as Read will say
	}
	return raw
}

// readRaw reads as conn.Read does, but has no buffer while it waits.
func (r *reader) readRaw() ([]byte, error) {
	if err := r.raw.Read(r.readNowFunc); err != nil {
		return nil, err
	}
	switch {
	case r.err != nil:
		return nil, os.NewSyscallError("read", r.err)
	case r.n == 0:
		return nil, io.EOF
	}
	return r.buf[:r.n], nil
}

// readNow is one attempt; false means that nothing has arrived.
func (r *reader) readNow(fd uintptr) bool {
	r.borrow()
	for {
		r.n, r.err = syscall.Read(int(fd), r.buf[:])
		switch r.err {
		case syscall.EINTR: //nolint:errorlint // syscall.Read wraps nothing, and this is asked at every read
			continue
		case syscall.EAGAIN:
			r.giveBack()
			return false
		}
		return true
	}
}

// disconnected reports whether the connection is no more: reset, or ended by
// both sides.
func (r *reader) disconnected() (gone bool) {
	if r.raw != nil {
		// An error means that we have closed it.
		_ = r.raw.Control(func(fd uintptr) {
			_, err := syscall.Getpeername(int(fd))
			gone = err == syscall.ENOTCONN
		})
	}
	return gone
}

// peek reports whether the stream has ended with nothing left to read, or the
// connection was reset.
func (r *reader) peek() (ended, wasReset bool) {
	if r.raw != nil {
		_ = r.raw.Control(func(fd uintptr) {
			n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			ended, wasReset = n == 0 && err == nil, err == syscall.ECONNRESET
		})
	}
	return ended, wasReset || r.disconnected()
}

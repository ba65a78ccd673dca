package forwarder

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// bufferSize is what one read takes at most, and so one message of the tunnel:
// 48 KiB less the header with which a message then fills whole TLS records. Each
// direction of a connection that stalls keeps one such buffer.
const bufferSize = 48<<10 - 8

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// reader reads from conn into buffers that it borrows only once there is
// something to read, so that a connection which waits holds none.
type reader struct {
	conn net.Conn
	raw  syscall.RawConn // conn's, where the system lets us wait on it
	wait ReadWaiter      // conn itself, where it can

	buf         *[bufferSize]byte
	n           int
	err         error
	readNowFunc func(fd uintptr) bool // made once, for it would be allocated by each read
}

func newReader(conn net.Conn) *reader {
	r := &reader{conn: conn}
	r.wait, _ = conn.(ReadWaiter)
	if c, ok := conn.(*net.TCPConn); ok {
		r.raw = rawConn(c)
		r.readNowFunc = r.readNow
	}
	return r
}

// read returns what has arrived, in a buffer that stays borrowed until giveBack.
func (r *reader) read() ([]byte, error) {
	if r.raw != nil {
		return r.readRaw()
	}
	if r.wait != nil {
		if err := r.wait.WaitReadable(); err != nil {
			return nil, err
		}
	}
	r.borrow()
	n, err := r.conn.Read(r.buf[:])
	return r.buf[:n], err
}

// isEnd reports whether a read met the end of the stream.
func isEnd(err error) bool {
	return err == io.EOF //nolint:errorlint // inside another error it is a connection that broke
}

func (r *reader) borrow() {
	if r.buf == nil {
		r.buf = buffers.Get().(*[bufferSize]byte)
	}
}

// giveBack ends the loan of a buffer.
func (r *reader) giveBack() {
	if r.buf != nil {
		buffers.Put(r.buf)
		r.buf = nil
	}
}

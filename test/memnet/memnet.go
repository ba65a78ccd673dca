// Package memnet is a TCP in memory, for tests on virtual time: bounded
// buffers, half-close, resets, deadlines. Everything blocks on channels, mutexes
// and conditions only, so a testing/synctest bubble sees it as idle.
package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize is what one direction holds before writes wait.
const bufferSize = 64 << 10

// Conn is one end of a connection. Like a TCP connection it can be half-closed,
// and closing it with unread data or after SetLinger(0) resets it.
type Conn struct {
	in, out       *stream
	local, remote net.Addr
	turn          chan struct{} // to write, which one does at a time

	mu     sync.Mutex
	linger int
	closed bool
}

var _ net.Conn = (*Conn)(nil)

// Pipe returns the two ends of a connection.
func Pipe() (*Conn, *Conn) {
	a, b := newStream(), newStream()
	client := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000}
	server := &net.TCPAddr{IP: net.IPv4(127, 77, 1, 1), Port: 80}
	return newConn(a, b, client, server), newConn(b, a, server, client)
}

func newConn(in, out *stream, local, remote net.Addr) *Conn {
	return &Conn{in: in, out: out, local: local, remote: remote, turn: make(chan struct{}, 1), linger: -1}
}

// Read reads what has arrived.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write waits for room in the peer's buffer.
func (c *Conn) Write(p []byte) (int, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	return c.out.write(p)
}

// CloseWrite ends this end's direction.
func (c *Conn) CloseWrite() error { return c.out.end() }

// SetLinger(0) makes Close a reset.
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linger = sec
	return nil
}

// Close closes the connection; see Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	unread := c.in.abandon()
	if unread || c.linger == 0 {
		c.out.fail(syscall.ECONNRESET)
		c.in.fail(syscall.ECONNRESET)
		return nil
	}
	_ = c.out.end() // already ended by CloseWrite
	return nil
}

// LocalAddr is a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.reader.set(t)
	c.out.writer.set(t)
	return nil
}

// SetReadDeadline bounds reads.
func (c *Conn) SetReadDeadline(t time.Time) error { c.in.reader.set(t); return nil }

// SetWriteDeadline bounds writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.out.writer.set(t); return nil }

// stream is one direction.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond
	buf     []byte
	ended   bool  // by the writer
	gone    bool  // the reader has closed
	err     error // reset
	reader  deadline
	writer  deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	s.reader.stream, s.writer.stream = s, s
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.reader.expired:
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.err != nil:
			return 0, s.err
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.ended:
			return n, syscall.EPIPE
		case s.err != nil:
			return n, s.err
		case len(p) == 0:
			return n, nil // of nothing too: only a reset is met without sending
		case s.gone:
			return n, syscall.EPIPE
		case s.writer.expired:
			return n, os.ErrDeadlineExceeded
		}
		if room := min(bufferSize-len(s.buf), len(p)); room > 0 {
			s.buf = append(s.buf, p[:room]...)
			n += room
			p = p[room:]
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

func (s *stream) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.ended = true
	s.changed.Broadcast()
	return nil
}

// abandon closes the reader's side and reports whether bytes were lost.
func (s *stream) abandon() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.changed.Broadcast()
	return len(s.buf) > 0
}

func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.changed.Broadcast()
}

// deadline wakes its stream when it passes.
type deadline struct {
	stream  *stream
	timer   *time.Timer // of the deadline that is set; one that was taken back may fire yet
	expired bool
}

func (d *deadline) set(t time.Time) {
	s := d.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.expired = !t.IsZero() && !t.After(time.Now())
	if !t.IsZero() && !d.expired {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.timer == timer {
				d.expired = true
				s.changed.Broadcast()
			}
		})
		d.timer = timer
	}
	s.changed.Broadcast()
}

// Listener accepts what Dial connects.
type Listener struct {
	conns  chan *Conn    // wait to be accepted
	closed chan struct{} // by Close
	once   sync.Once
}

var _ net.Listener = (*Listener)(nil)

// Listen returns a listener.
func Listen() *Listener {
	return &Listener{conns: make(chan *Conn, 128), closed: make(chan struct{})}
}

// Dial returns the connecting end; the other waits to be accepted.
func (l *Listener) Dial() (*Conn, error) {
	select {
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	default:
	}
	client, server := Pipe()
	l.conns <- server
	select {
	case <-l.closed: // meanwhile, so that Close may have missed it
		l.resetWaiting()
	default:
	}
	return client, nil
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case c := <-l.conns:
		return c, nil
	}
}

// Close ends Accept; what nobody accepted is reset.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.resetWaiting()
	})
	return nil
}

// resetWaiting resets what nobody has accepted.
func (l *Listener) resetWaiting() {
	for {
		select {
		case c := <-l.conns:
			_ = c.SetLinger(0)
			_ = c.Close()
		default:
			return
		}
	}
}

// Addr is a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 77, 1, 1), Port: 80} }

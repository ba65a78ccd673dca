package relayclient

import (
	"errors"
	"io"
	"net"
	"time"
)

// Conn is the sender's end of a tunnel: a byte stream over WebSocket messages, of which
// each direction ends on its own. One goroutine may read and one write at a time; Close,
// the deadlines and what only reports may be called by any. Whoever dialled it closes it.
type Conn struct {
	tunnel io.ReadWriteCloser // carries the frames: raw, after what had been read with the 101
	raw    net.Conn           // *tls.Conn; deadlines and addresses are its
	in     inbound
	out    outbound

	keepAlive keepAlive
	state     connState
	drained   chan struct{} // closed when the goroutine that drains has ended, or could not begin
	reached   bool          // the listener said that its target answers
	message   int           // bytes of the largest message that is sent
}

var _ net.Conn = (*Conn)(nil)

// newConn owns tunnel and raw from now on. Socket is the TCP connection under both, nil
// where it cannot be read without waiting. Guarded wraps what runs on the Conn's
// goroutines.
func newConn(tunnel io.ReadWriteCloser, raw net.Conn, socket *socket, interval time.Duration, guarded func(f func()) func()) *Conn {
	c := &Conn{tunnel: tunnel, raw: raw, message: maxMessage, drained: make(chan struct{})}
	c.state.guarded = guarded
	c.in = inbound{conn: tunnel, socket: socket, handleControl: c.handleControl, born: time.Now()}
	c.out = outbound{conn: tunnel, state: &c.state, turn: make(chan struct{}, 1)}
	c.startKeepAlive(interval)
	return c
}

// noteOpening takes what an opening learnt. Only who dials has the Conn yet.
func (c *Conn) noteOpening(learnt opened) {
	c.reached = learnt.reached
	if learnt.message > 0 {
		c.message = learnt.message
	}
	if learnt.closesBoth {
		c.state.note(onClosesBoth)
	}
}

// Read reads bytes as they arrive, whatever messages or fragments carry them. It blocks
// until there is at least one, and returns all that have arrived and fit p.
//
// It returns [io.EOF] once the far side has ended its direction with Close 1000, 1001 or
// without a code (docs/relay-protocol.md §6.5); our direction stays open. Other ends are
// errors, and what was received may be incomplete: a [*CloseError] is any other Close
// code, [ErrDropped] a connection that broke off, [ErrProtocol] a relay that does not
// speak WebSocket, [ErrUnresponsive] one that does not answer.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.in.read(p)
	if err != nil {
		return 0, c.endReading(err)
	}
	return n, nil
}

// WaitReadable blocks until Read has bytes to return, and then returns nil, or until the
// end of reading, and then returns Read's error. It counts as reading. A reader that waits
// here needs no buffer meanwhile. Where the system has no such wait it returns nil at
// once, and Read waits.
func (c *Conn) WaitReadable() error {
	if err := c.in.await(); err != nil {
		return c.endReading(err)
	}
	return nil
}

// endReading takes the end that inbound met, and returns what it means to the reader.
func (c *Conn) endReading(err error) error {
	if end, ok := errors.AsType[*CloseError](err); ok && c.state.note(end.event()) == doDrain {
		if !c.state.start(c.drain) {
			close(c.drained) // the connection is being closed
		}
	}
	return c.state.ends().readError(err)
}

// handleControl takes a ping or a pong. An answer never makes the reader wait.
func (c *Conn) handleControl(opcode byte, payload []byte) {
	if opcode == opPong {
		c.out.notePong(payload)
	} else if c.out.queuePong(payload) {
		c.state.start(c.out.sendPong)
	}
}

// HalfClosed reports whether the far side said in its Close frame that it only ends its
// own direction and reads on, as the .NET stream's Shutdown does (docs/relay-protocol.md
// §6.1). It may be called once Read has returned [io.EOF]. False means unknown: a relay
// may rewrite the reason, and other listeners give none.
func (c *Conn) HalfClosed() bool { return c.state.ends().theirs == theirsShutDown }

// Reached reports whether the listener said that it has reached its target, as an
// [Aztunnel] one does. False means unknown.
func (c *Conn) Reached() bool { return c.reached }

// Write sends p in binary messages of at most 65,528 bytes, all of which have been handed
// to the kernel when it returns. It fails with [ErrDropped] once the connection has broken
// off, with [ErrUnresponsive] once the relay does not answer, and once our Close frame has
// been sent: it must not follow CloseWrite.
func (c *Conn) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		m, err := c.out.message(p[:min(len(p), c.message)])
		n += m
		if err != nil {
			return n, c.writeError(err)
		}
		p = p[m:]
	}
	return n, nil
}

// writeText sends p as one text message.
func (c *Conn) writeText(p []byte) error {
	if _, err := c.out.data(opText, p); err != nil {
		return c.writeError(err)
	}
	return nil
}

// CloseWrite ends our direction with Close 1000 "Shutdown" (docs/relay-protocol.md §6.4);
// reading goes on. It fails as Write does, and does nothing when it is called again. Pings
// stop, so a tunnel that stays silent from here on must be bounded by the caller.
//
// Where the listener takes the first Close for the end of both directions, see [Aztunnel],
// the Close frame is kept back and leaves with Close, after all that still arrives.
func (c *Conn) CloseWrite() error {
	if c.state.note(onCloseWrite) != doTakeTurn {
		return nil
	}
	if err := c.out.close(); err != nil {
		return c.writeError(err)
	}
	return nil
}

// writeError is err, or the reason why we ended the connection ourselves.
func (c *Conn) writeError(err error) error {
	if c.state.ends().conn == connDead {
		return errNoPong
	}
	return err
}

// LocalAddr is the address of the connection to the relay, or to the proxy.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the relay's address, or the proxy's.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(t) }

// SetReadDeadline bounds reads. A read that meets it may have consumed part of a frame:
// the connection is then of no further use.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetWriteDeadline bounds writes. A write that meets it may have sent part of a frame: the
// connection is then of no further use.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

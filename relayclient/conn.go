package relayclient

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is the sender's end of a tunnel: a byte stream over WebSocket messages.
// One goroutine may read and one write at a time; Close may be called by any.
type Conn struct {
	tunnel io.ReadWriteCloser // carries the frames: raw, after what had been read with the 101
	raw    net.Conn           // *tls.Conn; deadlines and addresses are its
	in     inbound
	out    outbound
	end    atomic.Pointer[CloseError] // the peer's Close frame, where that was an orderly end

	keepAlive keepAlive
	cause     atomic.Pointer[error] // why we ended the connection ourselves

	reached  bool        // the listener said that its target answers
	whole    bool        // the listener ends both directions at the first Close
	withheld atomic.Bool // our direction has ended, and its Close waits for the far side's

	draining atomic.Bool   // a goroutine reads on after the peer's Close frame
	drained  chan struct{} // closed when it met the end

	panicked guard
	ownerMu  sync.Mutex
	closed   bool
	owned    sync.WaitGroup // goroutines that answer pings, judge silence, and drain
}

var _ net.Conn = (*Conn)(nil)

// newConn owns tunnel and raw from now on. Beneath is the TCP connection, nil
// where it is none of ours.
func newConn(tunnel io.ReadWriteCloser, raw net.Conn, beneath *socket, interval time.Duration, panicked guard) *Conn {
	c := &Conn{tunnel: tunnel, raw: raw, drained: make(chan struct{}), panicked: panicked}
	c.in = inbound{conn: tunnel, socket: beneath, obey: c.obey, born: time.Now()}
	c.out = outbound{conn: tunnel, turn: make(chan struct{}, 1)}
	c.startKeepAlive(interval)
	return c
}

// Read reads bytes as they arrive, whatever messages or fragments carry them.
// It returns io.EOF once the far side has ended its direction with Close 1000,
// 1001 or 1005; the other direction stays open. A [*CloseError] is any other
// Close, [ErrDropped] a connection that broke off, [ErrProtocol] a relay that
// does not speak WebSocket, [ErrUnresponsive] one that does not answer.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.in.read(p)
	if err != nil {
		return 0, c.readEnd(err)
	}
	return n, nil
}

// WaitReadable blocks until Read has bytes to return, or the end of reading,
// whose error it returns. A reader that waits here needs no buffer meanwhile. Where
// the system has no such wait it returns at once, and Read waits.
func (c *Conn) WaitReadable() error {
	if err := c.in.await(); err != nil {
		return c.readEnd(err)
	}
	return nil
}

// readEnd says what the end of reading means. While our direction is open,
// somebody has to read on.
func (c *Conn) readEnd(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	end, ok := err.(*CloseError)
	if !ok {
		return err
	}
	if !c.out.closeSent.Load() && !c.draining.Swap(true) && !c.start(c.drain) {
		close(c.drained) // the connection is being closed
	}
	switch end.Code {
	case 1000, 1001, closeNoStatus:
		c.end.Store(end)
		return io.EOF
	}
	return end
}

// drain reads on after the peer's Close frame, so that a late control frame does
// not lie unread: closing a socket with unread bytes resets it, and the reset
// overtakes what we have sent. It also notices the end of the connection, after
// which nobody takes what we write.
func (c *Conn) drain() {
	if c.discard() {
		c.out.peerGone.Store(true)
	}
	close(c.drained)
}

// discard reads up to the connection's end, and reports whether it came to that.
func (c *Conn) discard() bool {
	var scrap [512]byte
	for {
		if _, err := c.tunnel.Read(scrap[:]); err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// obey takes pings and pongs. An answer never makes the reader wait.
func (c *Conn) obey(opcode byte, payload []byte) {
	if opcode == opPong {
		c.out.ponged(payload)
	} else if c.out.owe(payload) {
		c.start(c.out.answer)
	}
}

// HalfClosed reports whether the far side said in its Close frame that it only
// ends its own direction and reads on, as the .NET stream's Shutdown does. It
// may be called once Read has returned io.EOF. False means unknown: a relay may
// rewrite the reason, and other listeners give none.
func (c *Conn) HalfClosed() bool {
	end := c.end.Load()
	return end != nil && end.Code == 1000 && end.Reason == shutdownReason
}

// Reached reports whether the listener said that it has reached its target, as an
// [Aztunnel] one does. False means unknown.
func (c *Conn) Reached() bool { return c.reached }

// shutdownReason is what the reference client writes into the Close frame of a
// half-close; a full close says "CloseAsync".
const shutdownReason = "Shutdown"

// Write sends p in binary messages of nearly 64 KiB.
func (c *Conn) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		m, err := c.out.message(p[:min(len(p), maxMessage)])
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

// CloseWrite ends our direction with Close 1000 "Shutdown"; reading goes on.
// Pings stop, so a tunnel that stays silent from here on must be bounded by
// the caller. It may be called again. Where the listener takes the first Close for
// the end of both directions, it leaves with Close, after what still arrives.
func (c *Conn) CloseWrite() error {
	if c.whole {
		c.withheld.Store(true)
		return nil
	}
	if err := c.out.close(); err != nil {
		return c.writeError(err)
	}
	return nil
}

func (c *Conn) writeError(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return err
}

// closeWait is how long the relay, once both Close frames have passed, may take
// to close the connection, which is the server's to do (RFC 6455 §7.1.1). It
// prolongs a drain, so it is short.
const closeWait = 2 * time.Second

// Close ends the connection and waits for its goroutines. After CloseWrite that
// is an orderly end, which takes up to two seconds: for the relay's end when
// both directions have ended, or for room to say the last of ours. Without
// CloseWrite it is immediate, no Close frame is sent, and the far side sees the
// stream break off.
func (c *Conn) Close() error {
	c.keepAlive.stop()
	withheld := c.withheld.Load()
	ended := withheld || c.out.closeSent.Load() // asked once: CloseWrite may be on its way
	if ended {
		// What still has to be written, by us or by TLS, may find no room.
		bound := time.AfterFunc(closeWait, func() {
			defer c.panicked.raise()
			beneath(c.raw).Close()
		})
		defer bound.Stop()
	}
	if withheld {
		_ = c.out.close() // fails where the connection has ended
	}
	closing := io.Closer(c.tunnel)
	switch {
	case !ended || !c.out.closeSent.Load():
		abort(c.raw)
	case c.end.Load() != nil:
		c.awaitEnd()
		closing = beneath(c.raw) // which has ended, and gets no farewell of TLS
	}
	err := c.shut(closing)
	c.owned.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// awaitEnd waits until the relay has closed the connection, or Close's patience
// is over.
func (c *Conn) awaitEnd() {
	if c.draining.Load() {
		<-c.drained
	} else {
		c.discard()
	}
}

// shut closes the tunnel or what is beneath it, which ends a Read and a write in
// progress. It may be called again.
func (c *Conn) shut(what io.Closer) error {
	c.ownerMu.Lock()
	c.closed = true
	c.ownerMu.Unlock()
	return what.Close()
}

// start runs f in a goroutine that Close waits for, and reports false when
// Close has begun.
func (c *Conn) start(f func()) bool {
	c.ownerMu.Lock()
	defer c.ownerMu.Unlock()
	if !c.closed {
		c.owned.Go(func() {
			defer c.panicked.raise()
			f()
		})
	}
	return !c.closed
}

// abort resets the TCP connection beneath conn. Closing TLS politely would wait
// up to five seconds to write its alert behind unsent data.
func abort(conn net.Conn) {
	tcp := beneath(conn)
	if c, ok := tcp.(interface{ SetLinger(sec int) error }); ok {
		// Errors mean that the connection has ended already.
		_ = c.SetLinger(0)
		_ = tcp.Close()
	}
}

// beneath takes TLS, twice with an HTTPS proxy, off conn.
func beneath(conn net.Conn) net.Conn {
	for {
		c, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = c.NetConn()
	}
}

// LocalAddr is the address of the connection to the relay, or to the proxy.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the relay's address, or the proxy's.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(t) }

// SetReadDeadline bounds reads. A read that meets it may have consumed part of
// a frame: the connection is then of no further use.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetWriteDeadline bounds writes, with the same consequence.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

// sanitize makes text from the network fit for one line of a log: no control
// characters, at most 300 bytes.
func sanitize(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	const limit = 300
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return strings.TrimSpace(s)
}

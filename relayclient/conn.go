package relayclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// maxMessage is how many bytes one message carries at most. The relay passes
// 1 MiB and more; azbridge reads and writes 64 KiB.
const maxMessage = 64 << 10

// Conn is the sender's end of a tunnel: a byte stream over WebSocket messages.
// One goroutine may read and one write at a time; Close may be called by any.
type Conn struct {
	ws   *websocket.Conn // reads only
	body *body
	raw  net.Conn // what body runs over; *tls.Conn, or a connection through a proxy

	message io.Reader                  // the message being read, nil between messages
	readErr error                      // the end of reading, once met
	end     atomic.Pointer[CloseError] // the peer's Close frame, where that was an orderly end

	keepAlive keepAlive
	cause     atomic.Pointer[error] // why we ended the connection ourselves
}

var _ net.Conn = (*Conn)(nil)

// newConn owns ws, body and raw from now on.
func newConn(ws *websocket.Conn, b *body, raw net.Conn, interval time.Duration) *Conn {
	ws.SetReadLimit(-1)
	c := &Conn{ws: ws, body: b, raw: raw}
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
	if c.readErr != nil {
		return 0, c.readErr
	}
	for {
		if c.message == nil {
			_, r, err := c.ws.Reader(context.Background())
			if err != nil {
				c.readErr = c.readEnd(err)
				return 0, c.readErr
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		switch {
		case err == io.EOF:
			c.message = nil
		case err != nil:
			c.readErr = c.readEnd(err)
			return n, c.readErr
		}
		if n > 0 {
			return n, nil
		}
	}
}

// readEnd says what the library's error means.
func (c *Conn) readEnd(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	switch {
	case errors.Is(err, net.ErrClosed):
		return dropped(err)
	case c.body.readErr == nil || !errors.Is(err, c.body.readErr):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	end, ok := errors.AsType[*CloseError](c.body.readErr)
	if !ok {
		return c.body.readErr
	}
	switch end.Code {
	case 1000, 1001, closeNoStatus:
		c.end.Store(end)
		return io.EOF
	}
	return end
}

// HalfClosed reports whether the far side said in its Close frame that it only
// ends its own direction and reads on, as the .NET stream's Shutdown does. It
// may be called once Read has returned io.EOF. False means unknown: a relay may
// rewrite the reason, and other listeners give none.
func (c *Conn) HalfClosed() bool {
	end := c.end.Load()
	return end != nil && end.Code == 1000 && end.Reason == shutdownReason
}

// shutdownReason is what the reference client writes into the Close frame of a
// half-close; a full close says "CloseAsync".
const shutdownReason = "Shutdown"

// Write sends p in binary messages of up to 64 KiB.
func (c *Conn) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		message := p[:min(len(p), maxMessage)]
		if err := c.body.writeFrame(opBinary, message); err != nil {
			return n, c.writeError(err)
		}
		n += len(message)
		p = p[len(message):]
	}
	return n, nil
}

// CloseWrite ends our direction with Close 1000 "Shutdown"; reading goes on.
// Pings stop, so a tunnel that stays silent from here on must be bounded by
// the caller. It may be called again.
func (c *Conn) CloseWrite() error {
	err := c.body.writeFrame(opClose, closePayload(1000, shutdownReason))
	if err != nil {
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
// is an orderly end, which waits for up to two seconds for the relay's when both
// directions have ended. Without CloseWrite it is immediate, no Close frame is
// sent, and the far side sees the stream break off.
func (c *Conn) Close() error {
	c.keepAlive.stop()
	switch {
	case !c.body.closeSent.Load():
		abort(c.raw)
	case c.end.Load() != nil:
		timer := time.NewTimer(closeWait)
		select {
		case <-c.body.drained:
		case <-timer.C:
		}
		timer.Stop()
	}
	err := c.ws.CloseNow()
	c.body.owned.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
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

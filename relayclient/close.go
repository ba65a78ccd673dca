package relayclient

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// closeWait is how long the relay, once both Close frames have passed, may take to close
// the connection, which is the server's to do (RFC 6455 §7.1.1), and how long our last
// frame may wait for room. It prolongs a program's shutdown, so it is short.
const closeWait = 2 * time.Second

// Close ends the connection and waits for its goroutines; a Read or Write in progress
// fails. After CloseWrite it is an orderly end and takes up to two seconds: for the
// relay's end when both directions have ended, else for room to say the last of ours.
// Without CloseWrite it is immediate, no Close frame is sent, and the far side sees the
// stream break off (docs/relay-protocol.md §6.4). It may be called again.
func (c *Conn) Close() error {
	c.keepAlive.stop()
	do := c.state.note(onClose)
	if do != doAbort && do != doNothing {
		// What still has to be written, by us or by TLS, may find no room.
		bound := time.AfterFunc(closeWait, c.state.guarded(func() { beneath(c.raw).Close() }))
		defer bound.Stop()
	}
	if do == doTakeTurn {
		_ = c.out.close() // fails where the connection has ended
		do = c.state.note(onClose)
	}
	closing := io.Closer(c.tunnel)
	switch do {
	case doAbort:
		abort(c.raw)
	case doAwaitDrain:
		<-c.drained
		closing = beneath(c.raw) // which has ended, and gets no close_notify
	case doReadOn:
		c.discard()
		closing = beneath(c.raw)
	case doCloseTLS: // closing stays the tunnel, whose Close sends a close_notify
	}
	err := c.shut(closing)
	c.state.wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// shut closes the tunnel or what is beneath it, which ends a Read and a write in progress.
// No goroutine begins any more.
func (c *Conn) shut(what io.Closer) error {
	c.state.note(onShut)
	return what.Close()
}

// drain reads on after the far side's Close frame, so that a late control frame does not
// lie unread: closing a socket with unread bytes resets it, and the reset overtakes what we
// have sent. It also notices the end of the connection, after which nobody takes what we
// write.
func (c *Conn) drain() {
	if c.discard() {
		c.state.note(onRelayEnd)
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

// abort resets the TCP connection beneath conn. Closing TLS politely would wait up to five
// seconds to write its alert behind unsent data.
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

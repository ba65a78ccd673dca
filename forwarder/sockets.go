package forwarder

import (
	"errors"
	"net"
	"syscall"
)

// appBuffer bounds what the kernel holds of what an app has yet to read. Loopback
// needs no more, and a slow reader then shows that it reads at all: with the
// kernel's own 4 MiB, a megabyte may be read before a write moves on.
const appBuffer = 256 << 10

// prepare makes an accepted connection ready.
func prepare(app net.Conn) {
	dieByReset(app)
	if c, ok := app.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(appBuffer) // refused at worst, which costs nothing
	}
}

// lingerer is a *net.TCPConn, where what Close does can be chosen.
type lingerer interface{ SetLinger(sec int) error }

// dieByReset makes every close of conn a reset, up to closeOrderly: should
// this process be killed, the kernel must not tell the app that its stream is
// complete.
func dieByReset(conn net.Conn) {
	if c, ok := conn.(lingerer); ok {
		_ = c.SetLinger(0) // fails only where the connection has ended already
	}
}

// reset closes conn so that its peer sees a reset, not an end of stream.
func reset(conn net.Conn) {
	dieByReset(conn)
	conn.Close()
}

// closeOrderly closes conn as an end of stream, sending what it still holds.
func closeOrderly(conn net.Conn) {
	if c, ok := conn.(lingerer); ok {
		_ = c.SetLinger(-1)
	}
	conn.Close()
}

// takeReset reports whether the app has reset the connection, or it broke off, also
// where nobody reads what it had sent before: an empty write returns that error and
// clears it. Whoever asks next finds an end of stream, so the caller must end the
// connection. A broken pipe is no reset: the app's end of stream came before.
func takeReset(app net.Conn) bool {
	_, err := app.Write(nil)
	return err != nil && !errors.Is(err, syscall.EPIPE)
}

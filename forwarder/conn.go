package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// conn is one accepted connection, from top to bottom.
type conn struct {
	*Server
	app      net.Conn
	from     *reader // of app
	accepted time.Time
	summary  Summary
}

func newConn(s *Server, app net.Conn, target string) *conn {
	return &conn{
		Server:   s,
		app:      app,
		from:     newReader(app),
		accepted: time.Now(),
		summary:  Summary{Target: target, ID: s.NewID()},
	}
}

// serve dials, joins, and reports. It closes the app's connection.
func (c *conn) serve(ctx context.Context) {
	s := &c.summary
	c.Hooks.accepted(s.Target)
	c.logger().LogAttrs(ctx, slog.LevelDebug, "connection accepted",
		slog.String("endpoint", s.Target), slog.String("id", s.ID), slog.String("client", c.app.RemoteAddr().String()))

	remote, before, err := c.dial(ctx)
	s.Dial = time.Since(c.accepted)
	c.Hooks.dialled(s.Target, s.Dial, err)
	ended := time.Now()
	if err != nil {
		reset(c.app)
		s.Cause, s.Err = dialCause(ctx, before, err)
	} else {
		p := &pipe{Server: c.Server, app: c.app, from: c.from, remote: remote, joined: time.Now()}
		s.Cause, s.Err = p.run(ctx, before)
		s.Up, s.Down = p.up.Load(), p.down.Load()
		ended = p.ended
	}
	s.Took = ended.Sub(c.accepted)
	c.log(ctx)
	c.Hooks.closed(*s)
}

// dial reaches the target and tells what the app did meanwhile.
func (c *conn) dial(ctx context.Context) (net.Conn, early, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, cancelTimeout := context.WithTimeout(ctx, c.dialTimeout())
	defer cancelTimeout()

	last := make(chan struct{})
	stop := watch(c.from, cancel, last)
	remote, err := c.Dial(ctx, Request{Target: c.summary.Target, ID: c.summary.ID, Last: last})
	before := stop()
	if err == nil && before.err != nil {
		remote.Close()
		remote, err = nil, errAppLeft
	}
	return remote, before, err
}

// dialCause says why a dial failed; an app that left is nobody's fault.
func dialCause(ctx context.Context, before early, err error) (Cause, error) {
	switch {
	case ctx.Err() != nil:
		return Shutdown, err
	case before.err != nil:
		return AppGaveUp, nil
	case before.gaveUp():
		return AppGaveUp, err
	}
	return DialFailed, err
}

// log writes the connection's line.
func (c *conn) log(ctx context.Context) {
	s := &c.summary
	level := slog.LevelInfo
	if !s.Cause.orderly() {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("endpoint", s.Target),
		slog.String("id", s.ID),
		slog.String("client", c.app.RemoteAddr().String()),
		slog.Int64("up", s.Up),
		slog.Int64("down", s.Down),
		slog.String("dial", s.Dial.Round(10*time.Microsecond).String()),
		slog.String("took", s.Took.Round(10*time.Microsecond).String()),
		slog.String("cause", string(s.Cause)),
	}
	if s.Err != nil {
		attrs = append(attrs, slog.String("error", s.Err.Error()))
		if e, ok := errors.AsType[interface {
			error
			LogAttrs() []slog.Attr
		}](s.Err); ok {
			attrs = append(attrs, e.LogAttrs()...)
		}
	}
	if next := s.Cause.next(); next != "" {
		attrs = append(attrs, slog.String("next", next))
	}
	c.logger().LogAttrs(ctx, level, "connection closed", attrs...)
}

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

// lingering is a *net.TCPConn, where what Close does can be chosen.
type lingering interface{ SetLinger(sec int) error }

// dieByReset makes every close of conn a reset, up to closeOrderly: should
// this process be killed, the kernel must not tell the app that its stream is
// complete.
func dieByReset(conn net.Conn) {
	if c, ok := conn.(lingering); ok {
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
	if c, ok := conn.(lingering); ok {
		_ = c.SetLinger(-1)
	}
	conn.Close()
}

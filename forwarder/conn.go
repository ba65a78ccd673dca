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
	*run
	app      net.Conn
	from     *reader // of app
	accepted time.Time
	late     bool // it may have waited long for a slot
	traffic  *Traffic
	summary  Summary
}

func newConn(r *run, app net.Conn, ln Listener, accepted time.Time) *conn {
	return &conn{
		run:      r,
		app:      app,
		from:     newReader(app),
		accepted: accepted,
		traffic:  ln.Traffic,
		summary:  Summary{Target: ln.Target, ID: r.NewID()},
	}
}

// serve dials and joins. A joined connection goes on by itself, on goroutines
// whose stacks are small, for there may be thousands of them.
func (c *conn) serve(ctx context.Context) {
	c.begin(ctx)
	if c.late && c.hasLeft() {
		reset(c.app)
		c.finish(ctx, time.Now(), verdict{AppGaveUp, nil})
		return
	}
	r := c.dial(ctx)
	c.summary.Dial = time.Since(c.accepted)
	c.Hooks.dialled(c.summary.Target, c.summary.Dial, r.err)
	if r.err != nil {
		reset(c.app)
		c.finish(ctx, time.Now(), r.cause(ctx))
		return
	}
	p := &pipe{Server: c.Server, traffic: c.traffic, app: c.app, from: c.from, remote: r.remote, before: r.before, joined: time.Now()}
	go func() {
		defer guard(c.Panicked).raise()
		c.carry(ctx, p)
	}()
}

// hasLeft reports whether the app has reset the connection, or ended its stream
// without a byte and closed fully: there is nothing to dial for.
func (c *conn) hasLeft() bool {
	ended, reset := c.from.peek()
	if !ended || reset {
		return reset
	}
	closed, err := c.appClosed(c.app)
	return closed && err == nil
}

// turnAway resets a connection for which no slot became free before the end.
func (c *conn) turnAway(ctx context.Context) {
	c.begin(ctx)
	reset(c.app)
	c.tell(ctx, time.Now(), verdict{Shutdown, nil})
	c.ended()
}

// carry is the connection's life from there on.
func (c *conn) carry(ctx context.Context, p *pipe) {
	p.run(ctx)
	c.summary.Up, c.summary.Down = p.up.Load(), p.down.Load()
	c.finish(ctx, p.ended, p.verdict)
}

// begin tells of the connection.
func (c *conn) begin(ctx context.Context) {
	c.Hooks.accepted(c.summary.Target)
	if log := c.logger(); log.Enabled(ctx, slog.LevelDebug) {
		log.LogAttrs(ctx, slog.LevelDebug, "connection accepted", slog.String("endpoint", c.summary.Target),
			slog.String("id", c.summary.ID), slog.String("client", c.app.RemoteAddr().String()))
	}
}

// finish tells how it ended, and makes room for another.
func (c *conn) finish(ctx context.Context, ended time.Time, v verdict) {
	c.tell(ctx, ended, v)
	<-c.slots
	c.ended()
	c.conns.Done()
}

// tell tells how it ended.
func (c *conn) tell(ctx context.Context, ended time.Time, v verdict) {
	c.summary.Took = ended.Sub(c.accepted)
	c.summary.Cause, c.summary.Err = v.cause, v.err
	c.log(ctx)
	c.Hooks.closed(c.summary)
}

// reached is what came of a dial.
type reached struct {
	remote net.Conn
	before early // what the app did meanwhile
	err    error
}

// dial reaches the target.
func (c *conn) dial(ctx context.Context) (r reached) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, cancelTimeout := context.WithTimeout(ctx, c.dialTimeout())
	defer cancelTimeout()

	last := make(chan struct{})
	stop := watch(c.Panicked, c.from, cancel, last)
	r.remote, r.err = c.Dial(ctx, Request{Target: c.summary.Target, ID: c.summary.ID, Last: last})
	r.before = stop()
	if r.err == nil && r.before.err != nil {
		r.remote.Close()
		r.remote, r.err = nil, errAppLeft
	}
	return r
}

// cause says why a dial failed; an app that left is nobody's fault.
func (r *reached) cause(ctx context.Context) verdict {
	switch {
	case ctx.Err() != nil:
		return verdict{Shutdown, r.err}
	case r.before.err != nil && errors.Is(r.err, errAppLeft):
		return verdict{AppGaveUp, nil}
	case r.before.err != nil, r.before.gaveUp():
		return verdict{AppGaveUp, r.err} // what went wrong until then is why it waited
	}
	return verdict{DialFailed, r.err}
}

// reason is the label that err gives itself, if it does.
func reason(err error) string {
	if e, ok := errors.AsType[interface {
		error
		Reason() string
	}](err); ok {
		return e.Reason()
	}
	return ""
}

// log writes the connection's line.
func (c *conn) log(ctx context.Context) {
	s := &c.summary
	level := slog.LevelInfo
	if !s.Cause.orderly() || s.Cause == AppGaveUp && s.Err != nil {
		level = slog.LevelWarn
		if !c.repeats.whole(ctx, likeness{s.Target, s.Cause, reason(s.Err)}) {
			return
		}
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
		attrs = append(attrs, slog.Any("error", s.Err))
		if e, ok := errors.AsType[interface {
			error
			LogAttrs() []slog.Attr
		}](s.Err); ok {
			attrs = append(attrs, e.LogAttrs()...)
		}
	}
	if next := s.Cause.Next(); next != "" {
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

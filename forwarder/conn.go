package forwarder

import (
	"context"
	"errors"
	"net"
	"time"
)

// conn is one accepted connection, from top to bottom.
type conn struct {
	*serving
	app      net.Conn
	from     *reader // of app
	accepted time.Time
	late     bool // it may have waited long for a slot
	traffic  *Traffic
	summary  Summary
}

func newConn(s *serving, app net.Conn, ln Listener, accepted time.Time) *conn {
	return &conn{
		serving:  s,
		app:      app,
		from:     newReader(app),
		accepted: accepted,
		traffic:  ln.Traffic,
		summary:  Summary{Target: ln.Target, ID: s.NewID()},
	}
}

// serve dials and joins. A joined connection goes on by itself, on goroutines
// whose stacks are small, for there may be thousands of them.
func (c *conn) serve(ctx context.Context) {
	c.announce(ctx)
	if c.late && c.hasLeft() {
		reset(c.app)
		c.release(ctx, time.Now(), verdict{AppGaveUp, nil})
		return
	}
	d := c.dial(ctx)
	c.summary.Dial = time.Since(c.accepted)
	c.Hooks.tellDialled(c.summary.Target, c.summary.Dial, d.err)
	if d.err != nil {
		reset(c.app)
		c.release(ctx, time.Now(), d.verdict(ctx))
		return
	}
	p := newPipe(c.Server, c.traffic, c.from, d.remote, d.early)
	go c.guarded(func() { c.carry(ctx, p) })()
}

// hasLeft reports whether the app has reset the connection, or ended its stream
// without a byte and closed fully: there is nothing to dial for.
func (c *conn) hasLeft() bool {
	ended, wasReset := c.from.peek()
	if !ended || wasReset {
		return wasReset
	}
	closed, err := c.appClosed(c.app)
	return closed && err == nil
}

// turnAway resets a connection for which no slot became free before the end.
func (c *conn) turnAway(ctx context.Context) {
	c.announce(ctx)
	reset(c.app)
	c.report(ctx, time.Now(), verdict{Shutdown, nil})
	c.countClosed()
}

// carry copies until the connection ends.
func (c *conn) carry(ctx context.Context, p *pipe) {
	v, ended := p.run(ctx)
	c.summary.Up, c.summary.Down = p.up.Load(), p.down.Load()
	c.release(ctx, ended, v)
}

// release reports how the connection ended, and gives its slot to another.
func (c *conn) release(ctx context.Context, ended time.Time, v verdict) {
	c.report(ctx, ended, v)
	<-c.slots
	c.countClosed()
	c.conns.Done()
}

// dialled is what came of a dial.
type dialled struct {
	remote net.Conn
	early  early // what the app did meanwhile
	err    error
}

// dial reaches the target.
func (c *conn) dial(ctx context.Context) (d dialled) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, cancelTimeout := context.WithTimeout(ctx, c.dialTimeout())
	defer cancelTimeout()

	noRetry := make(chan struct{})
	stop := watch(c.guarded, c.from, cancel, noRetry)
	d.remote, d.err = c.Dial(ctx, Request{Target: c.summary.Target, ID: c.summary.ID, NoRetry: noRetry})
	d.early = stop()
	if d.err == nil && d.early.err != nil {
		d.remote.Close()
		d.remote, d.err = nil, errAppReset
	}
	return d
}

// verdict is why a dial failed; an app that left is nobody's fault.
func (d *dialled) verdict(ctx context.Context) verdict {
	switch {
	case ctx.Err() != nil:
		return verdict{Shutdown, d.err}
	case d.early.err != nil && errors.Is(d.err, errAppReset):
		return verdict{AppGaveUp, nil}
	case d.early.gaveUp():
		return verdict{AppGaveUp, d.err} // what went wrong until then is why it waited
	}
	return verdict{DialFailed, d.err}
}

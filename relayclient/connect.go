package relayclient

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// connect makes a link. The caller closes it.
func (c *Client) connect(ctx context.Context, p *progress) (*link, error) {
	l, err := c.handshake(ctx, p, c.keyExchange.Load())
	if err != nil && p.current() == StageTLS && c.keyExchange.Swap(0) != 0 && ctx.Err() == nil && !isCertificateError(err) {
		// The relay may no longer take what it once asked for.
		return c.handshake(ctx, p, 0)
	}
	return l, err
}

// handshake connects and performs the TLS handshake. Curve, a tls.CurveID, is the only key
// exchange that is offered; 0 means Go's choice.
func (c *Client) handshake(ctx context.Context, p *progress, curve uint32) (*link, error) {
	p.stage.Store(StageConnect)
	conn, err := c.dialRelay(ctx, p)
	if err != nil {
		return nil, err
	}
	p.connected.Store(p.now())
	p.stage.Store(StageTLS)
	config := c.tlsConfig()
	if curve != 0 {
		config = config.Clone()
		config.CurvePreferences = []tls.CurveID{tls.CurveID(curve)}
	}
	l := &link{Conn: tls.Client(conn, config), born: time.Now(), guarded: c.guarded}
	l.socket, _ = beneath(conn).(*socket)
	if l.socket == conn { // else the records on it are those of TLS with a proxy
		l.socket.records.on = true
	}
	if err := within(ctx, conn, l.guarded, l.Handshake); err != nil {
		conn.Close()
		c.forgetNames(ctx)
		return nil, err
	}
	p.secured.Store(p.now())
	if state := l.ConnectionState(); state.HelloRetryRequest {
		// Azure's front ends take none of the key shares that Go guesses, and a wrong guess
		// costs a round trip (docs/relay-protocol.md §3.1). Next time there is one guess, the
		// right one.
		c.keyExchange.Store(uint32(state.CurveID))
	}
	return l, nil
}

// within runs f. If ctx ends first, it expires conn's deadline to unblock f and returns
// ctx's error; conn is unusable then.
func within(ctx context.Context, conn net.Conn, guarded func(f func()) func(), f func() error) error {
	stop := context.AfterFunc(ctx, guarded(func() { _ = conn.SetDeadline(time.Unix(1, 0)) }))
	err := f()
	if !stop() {
		return ctx.Err()
	}
	return err
}

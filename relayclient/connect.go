package relayclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// link is a connection to the relay that has finished its TLS handshake and
// carried nothing yet.
type link struct {
	*tls.Conn
	socket   *socket // beneath it all; nil where it cannot be read without waiting
	born     time.Time
	panicked guard
}

// Close drops the connection. Nothing was said over it that a polite end would
// complete.
func (l *link) Close() error {
	abort(l.Conn)
	return nil
}

// progress notes how far an attempt has come, and when. A trace of look-ups may
// go on noting when the attempt is over.
type progress struct {
	began                        time.Time
	stage                        atomic.Value // Stage
	resolved, connected, secured atomic.Int64 // nanoseconds after began; 0 = not reached
}

func newProgress() *progress {
	p := &progress{began: time.Now()}
	p.stage.Store(StageConnect)
	return p
}

func (p *progress) reached() Stage { return p.stage.Load().(Stage) }

func (p *progress) now() int64 { return int64(time.Since(p.began)) }

// resolving notes when look-ups made with the context begin and end.
func (p *progress) resolving(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { p.stage.Store(StageResolve) },
		DNSDone: func(info httptrace.DNSDoneInfo) {
			if info.Err == nil {
				p.stage.Store(StageConnect)
				p.resolved.Store(p.now())
			}
		},
	})
}

// connect makes a link. The caller closes it.
func (c *Client) connect(ctx context.Context, p *progress) (*link, error) {
	l, err := c.handshake(ctx, p, c.keyExchange.Load())
	if err != nil && p.reached() == StageTLS && c.keyExchange.Swap(0) != 0 && ctx.Err() == nil && !isCertificateError(err) {
		// The relay may no longer take what it once asked for.
		return c.handshake(ctx, p, 0)
	}
	return l, err
}

// handshake connects and performs the TLS handshake. Curve is the only key
// exchange offered; 0 means Go's choice.
func (c *Client) handshake(ctx context.Context, p *progress, curve uint32) (*link, error) {
	p.stage.Store(StageConnect)
	conn, err := c.reach(ctx, p)
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
	l := &link{Conn: tls.Client(conn, config), born: time.Now(), panicked: c.Panicked}
	l.socket, _ = beneath(conn).(*socket)
	if l.socket == conn { // else its records are those of TLS with a proxy
		l.socket.records.on = true
	}
	if err := within(ctx, conn, c.Panicked, l.Handshake); err != nil {
		conn.Close()
		c.mistrust(ctx)
		return nil, err
	}
	p.secured.Store(p.now())
	if state := l.ConnectionState(); state.HelloRetryRequest {
		// Azure's front ends took none of the key shares that Go guesses, and a
		// wrong guess costs a round trip. Next time there is one guess, the right one.
		c.keyExchange.Store(uint32(state.CurveID))
	}
	return l, nil
}

// within runs f, whose reads and writes of conn the end of ctx ends. Conn is of
// no further use then.
func within(ctx context.Context, conn net.Conn, panicked guard, f func() error) error {
	stop := context.AfterFunc(ctx, func() {
		defer panicked.raise()
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	err := f()
	if !stop() {
		return ctx.Err()
	}
	return err
}

// dialTCP connects to address. Names are looked up as they are first: a search
// list, as Kubernetes gives every pod, would otherwise be tried through for
// most relays' names. Only a name that does not exist so is left to the list.
func (c *Client) dialTCP(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Resolver: c.names.resolver(c.nameserver(), c.Panicked), Control: c.Control}
	conn, err := dialer.DialContext(ctx, "tcp", rooted(address))
	unresolved, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && unresolved.IsNotFound && rooted(address) != address:
		conn, err = dialer.DialContext(ctx, "tcp", address)
	case ok && strings.Contains(unresolved.Err, syscall.EMFILE.Error()): // of which the error has the text alone
		return nil, fmt.Errorf("looking up %s: %w", strings.TrimSuffix(unresolved.Name, "."), syscall.EMFILE)
	case ok:
		unresolved.Name = strings.TrimSuffix(unresolved.Name, ".")
	case err != nil:
		c.mistrust(ctx)
	}
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if s := newSocket(tcp); s != nil {
			return s, nil
		}
	}
	return conn, nil
}

// nameserver connects to whom names are asked from.
func (c *Client) nameserver() connector {
	if c.Nameserver != nil {
		return c.Nameserver
	}
	return (&net.Dialer{Control: c.Control}).DialContext
}

// mistrust has names looked up again, for what was remembered leads nowhere;
// unless it was the caller who gave up.
func (c *Client) mistrust(ctx context.Context) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.names.forget()
	}
}

// rooted is address with a name that no search list applies to. Names of one
// or two labels, which networks of containers use, are left alone.
func rooted(address string) string {
	host, port, err := net.SplitHostPort(address)
	if _, notIP := netip.ParseAddr(host); err != nil || notIP == nil || strings.Count(host, ".") < 2 || strings.HasSuffix(host, ".") {
		return address
	}
	return net.JoinHostPort(host+".", port)
}

package relayclient

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SetAttemptTimeout shortens the bound of one attempt.
func (c *Client) SetAttemptTimeout(d time.Duration) { c.attemptTimeout = d }

// SetKeyExchange makes the client believe that the relay asked for curve.
func (c *Client) SetKeyExchange(curve tls.CurveID) { c.keyExchange.Store(uint32(curve)) }

// WarmAddrs are our addresses of the connections that are kept ready.
func (c *Client) WarmAddrs() []string {
	c.warm.mu.Lock()
	defer c.warm.mu.Unlock()
	var addrs []string
	for _, l := range c.warm.links {
		addrs = append(addrs, l.LocalAddr().String())
	}
	return addrs
}

// AgeWarm makes what is kept ready older by d.
func (c *Client) AgeWarm(d time.Duration) {
	c.warm.mu.Lock()
	defer c.warm.mu.Unlock()
	for _, l := range c.warm.links {
		l.born = l.born.Add(-d)
	}
}

// WarmLife is how long a connection is kept ready.
const WarmLife = warmLife

// Upgraded returns a Conn over raw as if raw had just answered 101.
func Upgraded(raw net.Conn, keepAlive time.Duration) *Conn {
	return newConn(raw, raw, nil, keepAlive, unguarded)
}

// Guarded is Upgraded with a client's Guard.
func Guarded(raw net.Conn, keepAlive time.Duration, guard func(f func()) func()) *Conn {
	return newConn(raw, raw, nil, keepAlive, guard)
}

// unguarded is what a client without a Guard does.
func unguarded(f func()) func() { return f }

// UpgradedTLS returns a Conn over TLS over tcp, as if that had just answered 101.
func UpgradedTLS(t testing.TB, tcp *net.TCPConn, config *tls.Config) *Conn {
	t.Helper()
	s := newSocket(tcp)
	s.records.on = true
	conn := tls.Client(s, config)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return newConn(conn, conn, s, time.Hour, unguarded)
}

// Sanitize is sanitize.
var Sanitize = sanitize

// Rooted is rooted.
var Rooted = rooted

// ConnectURL shows where a request goes.
func (c *Client) ConnectURL(req Request) string { return c.connectURL(req) }

// Audience shows what a token is signed for.
func (c *Client) Audience(entity string) string { return c.audience(entity) }

// TLSState is the state of the TLS connection beneath.
func (c *Conn) TLSState(t testing.TB) tls.ConnectionState {
	t.Helper()
	conn, ok := c.raw.(*tls.Conn)
	if !ok {
		t.Fatalf("the connection beneath is a %T", c.raw)
	}
	return conn.ConnectionState()
}

// Names is a cache of names in front of the nameserver at address, with a clock.
func Names(address string, now func() time.Time) *net.Resolver {
	c := &nameCache{now: now}
	return c.resolver(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}, unguarded)
}

// WaitDrained waits until the connection has ended after the peer's Close.
func (c *Conn) WaitDrained() { <-c.drained }

// Present goes through the motions of a Dial to a relay that takes the tokens of
// good, and returns the numbers of the credentials that it presented.
func Present(r *Rollover, good ...TokenSource) string {
	var presented []string
	for c := choose(r); ; {
		presented = append(presented, strconv.Itoa(r.index(c.source)))
		if slices.Contains(good, c.source) {
			c.noteTaken()
			break
		}
		if !c.replace(&DialError{Stage: StageUpgrade, Status: 401, Err: ErrUnauthorized}) {
			break
		}
	}
	return strings.Join(presented, " ")
}

// Open has an opening said over conn.
func Open(conn *Conn, o Opening) error {
	_, err := o.open(conn, "id")
	return err
}

// Waits reports whether a read has found nothing and waits.
func (c *Conn) Waits() bool {
	_, waits := c.in.waitingSince()
	return waits
}

package relayclient

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// SetAttemptTimeout shortens the bound of one attempt.
func (c *Client) SetAttemptTimeout(d time.Duration) { c.attemptTimeout = d }

// Upgraded returns a Conn over raw as if raw had just answered 101.
func Upgraded(raw net.Conn, keepAlive time.Duration) (*Conn, error) {
	up := &upgrade{body: newBody(raw), raw: raw}
	ws, _, err := websocket.Dial(context.Background(), "wss://relay/", &websocket.DialOptions{
		HTTPClient:     &http.Client{Transport: switched{up.body}},
		OnPingReceived: up.pinged,
		OnPongReceived: up.ponged,
	})
	if err != nil {
		return nil, err
	}
	return newConn(ws, up.body, raw, keepAlive), nil
}

// switched answers a WebSocket handshake in memory (RFC 6455 §4.2.2).
type switched struct{ body io.ReadWriteCloser }

func (s switched) RoundTrip(req *http.Request) (*http.Response, error) {
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	header := make(http.Header)
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", "websocket")
	header.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: header, Body: s.body}, nil
}

// Sanitize is sanitize.
var Sanitize = sanitize

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
	c := &nameCache{now: now, dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	return c.resolver()
}

// WaitDrained waits until the connection has ended after the peer's Close.
func (c *Conn) WaitDrained() { <-c.body.drained }

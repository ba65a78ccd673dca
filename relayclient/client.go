package relayclient

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Client joins hybrid connections of one relay namespace. Its fields may be changed until
// the first call of a method; from then on it is safe for concurrent use. Whoever made it
// closes it.
type Client struct {
	// Namespace is the host of the relay namespace, with a port where that is not 443:
	// "contoso.servicebus.windows.net".
	Namespace string
	// RootCAs are trusted to sign the relay's certificate. Nil means the system's.
	RootCAs *x509.CertPool
	// Proxy chooses the proxy, and is asked once. The scheme of the URL that it returns is
	// http, https, socks5 or socks5h, and the credentials in it are presented; nil means no
	// proxy. A nil Proxy means HTTPS_PROXY and NO_PROXY of the environment.
	Proxy func(*http.Request) (*url.URL, error)
	// KeepAlive is the silence after which a tunnel is pinged. Zero means 30 s, well below
	// the four minutes after which load balancers forget a connection
	// (docs/relay-protocol.md §5).
	KeepAlive time.Duration
	// WarmConnections is how many finished TLS connections are kept ready while the
	// namespace is in use. Zero means none. Through a proxy there are none.
	WarmConnections int
	// UserAgent is sent as Relay-User-Agent. Empty means "hyco-sidecar".
	UserAgent string
	// Nameserver connects to a nameserver, in place of the one in /etc/resolv.conf that
	// network and address name. Nil connects to that one.
	Nameserver func(ctx context.Context, network, address string) (net.Conn, error)
	// Control prepares the sockets of all connections, as the Control of a [net.Dialer]
	// does, but not those that a Nameserver makes. Nil does nothing.
	Control func(network, address string, c syscall.RawConn) error
	// Logger receives a debug line per attempt. Nil discards.
	Logger *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks
	// Guard wraps every function of the client and its Conns that runs on a goroutine of
	// its own, for a program that has something to do when one panics. A Guard that
	// recovers a panic ends the process. It is called when a function is about to be
	// started or scheduled, perhaps with locks held, and must not call back; what it
	// returns may run several times, or never. Nil leaves functions as they are.
	Guard func(f func()) func()

	configured  sync.Once
	config      *tls.Config
	routed      sync.Once
	proxy       *url.URL
	proxyErr    error
	names       nameCache
	keyExchange atomic.Uint32 // a tls.CurveID that the relay asked for; 0 = none
	warm        warmPool

	attemptTimeout time.Duration // for tests; zero means the constant of this name
}

// Hooks are told what happens. Each may be nil, and must not block.
type Hooks struct {
	// Attempted is called at the end of every attempt to join, on the goroutine that
	// called Dial.
	Attempted func(Attempt)
}

// Close closes the connections that are kept ready and waits for the client's goroutines.
// Conns stay open: whoever dialled them closes them. Dial still works afterwards, and keeps
// nothing ready.
func (c *Client) Close() { c.warm.close() }

// Request is one connection to be made.
type Request struct {
	// Entity names the hybrid connection; it may contain slashes.
	Entity string
	// Tokens signs for Entity; with a *[Rollover] a token that is refused is followed by
	// another. Nil sends no token, which works for hybrid connections that do not require
	// client authorization.
	Tokens TokenSource
	// ID is sent as sb-hc-id in every attempt, and becomes the relay's tracking id and the
	// listener's id of the connection (docs/relay-protocol.md §3.1). It is a GUID, which
	// some listeners insist on. Empty means a fresh one.
	ID string
	// Opening is what the listener expects first. Nil means raw bytes, as a Hybrid
	// Connection Manager does (docs/relay-protocol.md §7.2). An opening that fails is not
	// tried again.
	Opening Opening
	// NoRetry, once closed, makes the attempt in progress the last one: the caller still
	// wants a connection that is nearly there but not to go on trying. Nil means never.
	NoRetry <-chan struct{}
}

// Dial joins the hybrid connection named in req and returns a tunnel to its listener, which
// the caller closes. Temporary failures are retried, with growing jittered pauses, until ctx
// ends or req.NoRetry is closed; nothing is retried once a listener has taken the connection
// (docs/relay-protocol.md §3.4). One attempt takes ten seconds at most, and an opening
// twenty. The Conn does not depend on ctx. The error is always a *[DialError].
func (c *Client) Dial(ctx context.Context, req Request) (conn *Conn, err error) {
	if req.ID == "" {
		req.ID = NewID()
	}
	failed := c.retry(ctx, req, func(credential *choice) (failed *DialError) {
		if conn, failed = c.attempt(ctx, req, credential); failed == nil {
			failed = c.performOpening(ctx, conn, req)
		}
		return failed
	})
	if failed != nil {
		return nil, failed
	}
	return conn, nil
}

// NewID returns a random GUID in lower case (version 4, RFC 9562 §5.4), as senders identify
// connections.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// guarded is f as it runs on a goroutine of its own. Every goroutine begins with it.
func (c *Client) guarded(f func()) func() {
	if c.Guard != nil {
		return c.Guard(f)
	}
	return f
}

// tlsConfig is made once, so that TLS sessions are resumed.
func (c *Client) tlsConfig() *tls.Config {
	c.configured.Do(func() {
		c.config = &tls.Config{
			ServerName:         c.host(),
			MinVersion:         tls.VersionTLS12,
			RootCAs:            c.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
			NextProtos:         []string{"http/1.1"},
			// Small first records let a browser show a page sooner; a tunnel gains nothing.
			DynamicRecordSizingDisabled: true,
		}
	})
	return c.config
}

// address is the relay's host:port.
func (c *Client) address() string {
	if _, _, err := net.SplitHostPort(c.Namespace); err == nil {
		return c.Namespace
	}
	return net.JoinHostPort(c.Namespace, "443")
}

// host is the relay's name.
func (c *Client) host() string {
	if host, _, err := net.SplitHostPort(c.Namespace); err == nil {
		return host
	}
	return c.Namespace
}

func (c *Client) keepAlive() time.Duration {
	if c.KeepAlive > 0 {
		return c.KeepAlive
	}
	return 30 * time.Second
}

func (c *Client) userAgent() string {
	if c.UserAgent != "" {
		return c.UserAgent
	}
	return "hyco-sidecar"
}

func (c *Client) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.New(slog.DiscardHandler)
}

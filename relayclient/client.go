package relayclient

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Client joins hybrid connections of one relay namespace.
// Its fields may be changed until the first Dial; it is safe for concurrent use.
// Whoever made it closes it.
type Client struct {
	// Endpoint is the namespace's host, with a port where it is not 443:
	// "contoso.servicebus.windows.net".
	Endpoint string
	// RootCAs are trusted to sign the relay's certificate. Nil means the system's.
	RootCAs *x509.CertPool
	// Proxy chooses the proxy, once: the URL's scheme is http, https, socks5 or
	// socks5h, and its user's credentials are presented. Nil means HTTPS_PROXY and
	// NO_PROXY of the environment.
	Proxy func(*http.Request) (*url.URL, error)
	// KeepAlive is the silence after which a tunnel is pinged. Zero means 30 s,
	// well below the four minutes after which load balancers forget a connection.
	KeepAlive time.Duration
	// WarmConnections is how many finished TLS connections are kept ready while
	// the namespace is in use. Zero means none. Through a proxy there are none.
	WarmConnections int
	// UserAgent is sent as Relay-User-Agent. Empty means "hyco-sidecar".
	UserAgent string
	// Nameserver connects to whom names are asked from, in place of the address of
	// /etc/resolv.conf. Nil means that address.
	Nameserver func(ctx context.Context, network, address string) (net.Conn, error)
	// Control prepares the sockets of all connections, as [net.Dialer]'s does; but not
	// those that a Nameserver makes. Nil does nothing.
	Control func(network, address string, c syscall.RawConn) error
	// Logger receives a debug line per attempt. Nil discards.
	Logger *slog.Logger

	// Hooks are told what happens.
	Hooks Hooks
	// Panicked is called on a goroutine of the client's or of a Conn's that
	// panics, with the panic's value and the goroutine's stack, and ends the
	// process. If it returns, or is nil, the panic takes its course.
	Panicked func(value any, stack []byte)

	configured  sync.Once
	config      *tls.Config
	routed      sync.Once
	proxy       *url.URL
	proxyErr    error
	names       nameCache
	keyExchange atomic.Uint32 // a tls.CurveID that the relay asked for; 0 = none
	warm        warmth

	attemptTimeout time.Duration // tests are less patient; zero means attemptTimeout
}

// Hooks are told what happens. Each may be nil, and must not block.
type Hooks struct {
	// Attempted is called at the end of every attempt to join, on the goroutine
	// that dials.
	Attempted func(Attempt)
}

func (h *Hooks) attempted(a Attempt) {
	if h.Attempted != nil {
		h.Attempted(a)
	}
}

// Close gives back what the client keeps ready. Connections that were dialled
// are their owners' and stay.
func (c *Client) Close() { c.warm.close() }

// Request is one connection to be made.
type Request struct {
	// Entity names the hybrid connection; it may contain slashes.
	Entity string
	// Tokens signs for Entity; with a *[Rollover] a token that is refused is
	// followed by another. Nil sends no token, which works for hybrid connections
	// that do not require client authorization.
	Tokens TokenSource
	// ID becomes the relay's tracking id and the listener's id of the
	// connection, for every attempt. Empty means a fresh GUID.
	ID string
	// Opening is what the listener expects first. Nil means raw bytes, as a Hybrid
	// Connection Manager does. An opening that fails is not tried again.
	Opening Opening
	// Last, once closed, makes the attempt in progress the last one: the caller
	// still wants a connection that is nearly there but not to go on trying.
	// Nil means never.
	Last <-chan struct{}
}

// Dial joins the hybrid connection named in req. What may pass is tried again,
// with growing jittered pauses, until ctx ends; nothing is retried once a
// listener has taken the connection. The caller closes the returned Conn.
// The error is always a *[DialError].
func (c *Client) Dial(ctx context.Context, req Request) (conn *Conn, err error) {
	if req.ID == "" {
		req.ID = NewID()
	}
	failed := c.persist(ctx, req, func(credential *choice) (failed *DialError) {
		if conn, failed = c.attempt(ctx, req, credential); failed == nil {
			failed = c.introduce(ctx, conn, req)
		}
		return failed
	})
	if failed != nil {
		return nil, failed
	}
	return conn, nil
}

// persist tries until that succeeds, makes no sense any more, or ctx ends. A
// token that is refused is followed by another at once.
func (c *Client) persist(ctx context.Context, req Request, try func(*choice) *DialError) *DialError {
	var last *DialError
	pause := firstPause
	credential := choose(req.Tokens)
	for attempts := 1; ; attempts++ {
		failed := try(credential)
		if failed == nil || failed.tokenTaken() {
			credential.accepted()
		}
		if failed == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = failed
		} // else the caller's time ended this attempt; the one before says why it took so long
		last.Attempts = attempts
		if ctx.Err() == nil && credential.refused(failed) {
			continue
		}
		if !failed.Temporary() || !wait(ctx, max(jitter(pause), failed.RetryAfter), req.Last) {
			return credential.verdict(last)
		}
		pause = min(2*pause, maxPause)
	}
}

// The pauses between attempts: short at first, since a listener that
// reconnects is back within seconds.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 5 * time.Second
)

// jitter spreads senders that failed together over [d/2, d).
func jitter(d time.Duration) time.Duration {
	return d/2 + mathrand.N(d/2)
}

// wait pauses for d and reports whether another attempt should be made. It does
// not pause when ctx would end meanwhile: the caller gets its answer now.
func wait(ctx context.Context, d time.Duration, last <-chan struct{}) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-last:
		return false
	}
	select {
	case <-last:
		return false
	default:
		return ctx.Err() == nil
	}
}

// NewID returns a random GUID in lower case, as senders identify connections.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40 // version 4, RFC 9562 §5.4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
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
			// Small first records help a browser; a tunnel they only cost.
			DynamicRecordSizingDisabled: true,
		}
	})
	return c.config
}

// address is the relay's host:port.
func (c *Client) address() string {
	if _, _, err := net.SplitHostPort(c.Endpoint); err == nil {
		return c.Endpoint
	}
	return net.JoinHostPort(c.Endpoint, "443")
}

// host is the relay's name.
func (c *Client) host() string {
	if host, _, err := net.SplitHostPort(c.Endpoint); err == nil {
		return host
	}
	return c.Endpoint
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

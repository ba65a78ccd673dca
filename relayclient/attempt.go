package relayclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// attemptTimeout bounds one attempt. The relay answers in well under a second,
// sometimes in 3 to 7 s, and now and then never; trying again then helps.
const attemptTimeout = 10 * time.Second

// Attempt is one try to join a hybrid connection and where its time went. A
// duration is 0 where the attempt did not come so far, or had no need to.
type Attempt struct {
	Entity, ID string
	Credential int           // which of a Rollover's was presented
	Warm       bool          // over a TLS connection that was ready
	Resumed    bool          // its TLS session was resumed
	HelloRetry bool          // the relay asked for another key exchange, which costs a round trip
	Resolve    time.Duration // looking up the relay's name, or the proxy's
	Connect    time.Duration // TCP to the relay; or to a proxy, until that has opened the way
	TLS        time.Duration // the handshake
	Upgrade    time.Duration // from the request to the relay's answer, which waits for a listener
	// ClockOffset is this machine's clock minus the relay's, by the Date of its
	// answer and so to about a second; 0 when it is not known.
	ClockOffset time.Duration
	Err         error // a *[DialError]; nil when a listener has taken the connection
}

// LogAttrs returns what a log line about the attempt should carry.
func (a Attempt) LogAttrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("id", a.ID), slog.String("entity", a.Entity),
		slog.Bool("warm", a.Warm), slog.Bool("resumed", a.Resumed), slog.Bool("hello_retry", a.HelloRetry)}
	for _, span := range []struct {
		name string
		took time.Duration
	}{{"resolve", a.Resolve}, {"connect", a.Connect}, {"tls", a.TLS}, {"upgrade", a.Upgrade}} {
		attrs = append(attrs, slog.String(span.name, span.took.Round(time.Microsecond).String()))
	}
	if a.Err != nil {
		attrs = append(attrs, slog.String("error", a.Err.Error()))
	}
	return attrs
}

// attempt dials once.
func (c *Client) attempt(ctx context.Context, req Request, credential *choice) (*Conn, *DialError) {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(c.attemptTimeout, attemptTimeout), ErrAttemptTimeout)
	defer cancel() // the upgraded connection no longer depends on ctx

	t := &try{Client: c, req: req, tokens: credential.source, credential: credential}
	t.Attempt = Attempt{Entity: req.Entity, ID: req.ID, Credential: credential.number()}
	conn, failed := t.join(ctx)
	message := "hybrid connection joined"
	if failed != nil {
		failed.cancelled = failed.Status == 0 && caller.Err() == context.Canceled
		t.Err, message = failed, "hybrid connection not joined"
	} else {
		c.warm.used(c)
	}
	c.Hooks.attempted(t.Attempt)
	if log := c.logger(); log.Enabled(ctx, slog.LevelDebug) {
		log.LogAttrs(ctx, slog.LevelDebug, message, t.LogAttrs()...)
	}
	return conn, failed
}

// try is an attempt in progress.
type try struct {
	*Client
	Attempt
	req        Request
	credential *choice
	tokens     TokenSource // credential's at the time
	header     http.Header
}

// join asks for a token, connects and upgrades.
func (t *try) join(ctx context.Context) (*Conn, *DialError) {
	t.header = make(http.Header)
	t.header.Set("Relay-User-Agent", t.userAgent())
	if t.tokens != nil {
		token, err := t.credential.token(ctx, t.audience(t.req.Entity))
		if err != nil {
			return nil, t.failed(StageToken, err)
		}
		t.header.Set("ServiceBusAuthorization", token)
	}
	if l := t.warm.take(); l != nil {
		t.Warm = true
		conn, failed := t.upgrade(ctx, l)
		if failed == nil || failed.Status != 0 || ctx.Err() != nil {
			return conn, failed
		}
		// It was dead, which the app need not learn.
		t.Attempt = Attempt{Entity: t.Entity, ID: t.ID, Credential: t.Credential}
	}
	p := newProgress()
	l, err := t.connect(ctx, p)
	t.spent(p)
	if err != nil {
		return nil, t.failed(p.reached(), concise(ctx, err))
	}
	return t.upgrade(ctx, l)
}

// spent notes where the time before the upgrade went.
func (t *try) spent(p *progress) {
	resolved, connected, secured := p.resolved.Load(), p.connected.Load(), p.secured.Load()
	t.Resolve = time.Duration(resolved)
	t.Connect = time.Duration(max(0, connected-resolved))
	t.TLS = time.Duration(max(0, secured-connected))
}

// upgrade turns the link into a tunnel, or closes it.
func (t *try) upgrade(ctx context.Context, l *link) (*Conn, *DialError) {
	givenUp := func() bool { return false }
	if t.Warm {
		givenUp = l.doubt()
	}
	began := time.Now()
	tunnel, resp, err := t.shakeHands(ctx, exchange{l})
	t.Upgrade = time.Since(began)
	if givenUp() && err == nil {
		resp, err = nil, ErrDropped // the answer came that very moment
	}
	t.dated(resp)
	state := l.ConnectionState()
	t.Resumed, t.HelloRetry = state.DidResume, state.HelloRetryRequest
	if err != nil {
		l.Close()
		return nil, t.refused(ctx, StageUpgrade, resp, err)
	}
	return newConn(tunnel, l.Conn, l.socket, t.keepAlive(), t.Panicked), nil
}

// dated notes what the relay's answer, if there is one, says of the time.
func (t *try) dated(resp *http.Response) {
	if resp != nil {
		t.ClockOffset = clockOffset(resp.Header.Get("Date"), time.Now())
	}
}

// shakeHands performs the WebSocket handshake (RFC 6455 §4.1) and returns the
// connection that it was performed on.
func (t *try) shakeHands(ctx context.Context, transport http.RoundTripper) (io.ReadWriteCloser, *http.Response, error) {
	h := &handover{RoundTripper: transport}
	ws, resp, err := websocket.Dial(ctx, t.connectURL(t.req), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport: h,
			// A redirect would carry the token elsewhere; the relay sends none.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader: t.header,
	})
	if err != nil {
		return nil, resp, err
	}
	h.done = true
	_ = ws.CloseNow() // gives the library's buffers back, and closes nothing
	return h.ReadWriteCloser, resp, nil
}

// handover is the http.RoundTripper of one handshake. It stands between the
// library and the upgraded connection, which the library judges and then leaves
// to us.
type handover struct {
	http.RoundTripper
	io.ReadWriteCloser
	done bool
}

func (h *handover) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		// The library would wait for a body, and nobody reads it.
		resp.Body.Close()
		resp.Body = http.NoBody
		return resp, nil
	}
	if tunnel, ok := resp.Body.(io.ReadWriteCloser); ok { // else the library says what is wrong
		h.ReadWriteCloser = tunnel
		resp.Body = h
	}
	return resp, nil
}

// Read is what the library does with an answer that it does not accept.
func (h *handover) Read([]byte) (int, error) { return 0, io.EOF }

func (h *handover) Close() error {
	if h.done {
		return nil
	}
	return h.ReadWriteCloser.Close()
}

// failed describes a failure before the relay has answered.
func (t *try) failed(stage Stage, err error) *DialError {
	e := &DialError{Entity: t.req.Entity, Host: t.address(), Stage: stage, Err: err,
		Token: kindOf(t.tokens, t.header.Get("ServiceBusAuthorization"))}
	if through, _ := t.proxyURL(); through != nil {
		e.blameProxy(through)
	}
	return e
}

// refused describes a handshake that failed at stage; resp is nil when there
// was no answer.
func (t *try) refused(ctx context.Context, stage Stage, resp *http.Response, err error) *DialError {
	e := t.failed(stage, concise(ctx, err))
	switch {
	case resp == nil:
		if stage == StageUpgrade && isNonsense(e.Err) {
			e.Err = fmt.Errorf("%w: %w", ErrNotRelay, e.Err)
		}
	case resp.StatusCode == http.StatusSwitchingProtocols:
		e.Stage, e.Err = StageUpgrade, fmt.Errorf("%w: %w", ErrNotRelay, err)
	default:
		e.refused(resp)
	}
	return e
}

// connectURL is where a sender of req's entity connects. The "$" is literal, an
// entity's segments are escaped one by one, and the token is not part of it.
func (c *Client) connectURL(req Request) string {
	return "wss://" + c.Endpoint + "/$hc/" + escapePath(req.Entity) +
		"?sb-hc-action=connect&sb-hc-id=" + url.QueryEscape(req.ID)
}

// audience is what a token is signed for: the reference client's form, with
// neither port nor the real scheme and with a trailing slash.
func (c *Client) audience(entity string) string {
	return "http://" + strings.ToLower(c.host()) + "/" + strings.Trim(entity, "/") + "/"
}

// concise takes the URL and the library's prefixes off a network error, and
// names the time-out where it was one.
func concise(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != context.DeadlineExceeded {
			return cause
		}
		return ErrAttemptTimeout // the caller's time was shorter than an attempt's
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// isCertificateError reports whether trying again cannot help since the other
// side's certificate will not change.
func isCertificateError(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// isNonsense tells an answer that is not HTTP from a connection that failed.
// net/http has no type for it.
func isNonsense(err error) bool { return strings.Contains(err.Error(), "malformed") }

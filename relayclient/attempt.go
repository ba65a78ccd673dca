package relayclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// attemptTimeout bounds one attempt. The relay answers in well under a second, sometimes in
// 3 to 7 s, and now and then never; trying again then helps (docs/relay-protocol.md §3.2).
const attemptTimeout = 10 * time.Second

// Attempt is one try to join a hybrid connection and where its time went. A duration is 0
// where the attempt did not come so far, or had no need to.
type Attempt struct {
	Entity, ID string        // of the [Request]
	Credential int           // number of the credential that was presented, see [Rollover]; 0 without one
	Warm       bool          // over a TLS connection that was kept ready
	Resumed    bool          // its TLS session was resumed
	HelloRetry bool          // the relay asked for another key share (RFC 8446 §4.1.4), which costs a round trip
	Resolve    time.Duration // looking up the relay's name, or the proxy's
	Connect    time.Duration // TCP to the relay; or to a proxy, until that has opened the way
	TLS        time.Duration // the TLS handshake with the relay
	Upgrade    time.Duration // from the request to the relay's answer, which waits for a listener
	// ClockOffset is this machine's clock minus the relay's, by the Date of the relay's
	// answer and so to about a second; 0 when it is not known.
	ClockOffset time.Duration
	// Err is a *[DialError], nil when a listener has taken the connection.
	Err error
}

// LogAttrs returns what a log line about the attempt should carry: id, entity, warm,
// resumed, hello_retry, the four durations, and the error if there is one.
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
	if failed != nil {
		failed.cancelled = failed.Status == 0 && caller.Err() == context.Canceled
		t.Err = failed
	} else {
		c.warm.noteUse(c)
	}
	if c.Hooks.Attempted != nil {
		c.Hooks.Attempted(t.Attempt)
	}
	if log := c.logger(); log.Enabled(ctx, slog.LevelDebug) {
		if failed == nil {
			log.LogAttrs(ctx, slog.LevelDebug, "hybrid connection joined", t.LogAttrs()...)
		} else {
			log.LogAttrs(ctx, slog.LevelDebug, "hybrid connection not joined", t.LogAttrs()...)
		}
	}
	return conn, failed
}

// try is an attempt in progress.
type try struct {
	*Client
	Attempt
	req        Request
	credential *choice
	tokens     TokenSource // what credential presents in this attempt; nil = no token
	header     http.Header // of the request, or what it would be: errors look here for the token
}

// join asks for a token, connects and upgrades.
func (t *try) join(ctx context.Context) (*Conn, *DialError) {
	t.header = make(http.Header)
	t.header.Set("Relay-User-Agent", t.userAgent())
	if t.tokens != nil {
		token, err := t.credential.token(ctx, t.audience(t.req.Entity))
		if err != nil {
			return nil, t.failure(StageToken, err)
		}
		t.header.Set("ServiceBusAuthorization", token)
	}
	if l := t.warm.take(); l != nil {
		t.Warm = true
		conn, failed := t.upgrade(ctx, l)
		if failed == nil || failed.Status != 0 || ctx.Err() != nil {
			return conn, failed
		}
		// The connection that was kept ready was dead, which the app need not learn.
		t.Attempt = Attempt{Entity: t.Entity, ID: t.ID, Credential: t.Credential}
	}
	p := newProgress()
	l, err := t.connect(ctx, p)
	t.noteTimings(p)
	if err != nil {
		return nil, t.failure(p.current(), concise(ctx, err))
	}
	return t.upgrade(ctx, l)
}

// noteTimings notes where the time before the upgrade went.
func (t *try) noteTimings(p *progress) {
	resolved, connected, secured := p.resolved.Load(), p.connected.Load(), p.secured.Load()
	t.Resolve = time.Duration(resolved)
	t.Connect = time.Duration(max(0, connected-resolved))
	t.TLS = time.Duration(max(0, secured-connected))
}

// failure describes a failure at stage, before the relay has answered.
func (t *try) failure(stage Stage, err error) *DialError {
	e := &DialError{Entity: t.req.Entity, Host: t.address(), Stage: stage, Err: err,
		Token: kindOf(t.tokens, t.header.Get("ServiceBusAuthorization"))}
	if through, _ := t.proxyURL(); through != nil {
		e.blameProxy(through)
	}
	return e
}

// requestFailure describes a request that failed at stage; resp is the relay's answer, nil when
// there was none.
func (t *try) requestFailure(ctx context.Context, stage Stage, resp *http.Response, err error) *DialError {
	e := t.failure(stage, concise(ctx, err))
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

// concise takes the URL and the library's prefix off a network error, and
// names the time-out where it was one.
func concise(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != context.DeadlineExceeded { //nolint:errorlint // a cause that wraps it says more
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

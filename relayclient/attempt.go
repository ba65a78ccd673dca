package relayclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// attemptTimeout bounds one attempt. The relay answers in well under a second,
// sometimes in 3 to 7 s, and now and then never; trying again then helps.
const attemptTimeout = 10 * time.Second

// attempt dials once.
func (c *Client) attempt(ctx context.Context, req Request) (*Conn, *DialError) {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(c.attemptTimeout, attemptTimeout), ErrAttemptTimeout)
	defer cancel() // the upgraded connection no longer depends on ctx

	fail := &DialError{Entity: req.Entity, Host: c.address(), Stage: StageToken, anonymous: req.Tokens == nil}
	header := make(http.Header)
	header.Set("Relay-User-Agent", c.userAgent())
	if req.Tokens != nil {
		token, err := req.Tokens.Token(ctx, c.audience(req.Entity))
		if err != nil {
			fail.Err = err
			return nil, fail
		}
		header.Set("ServiceBusAuthorization", token)
	}

	up := &upgrade{client: c}
	ws, resp, err := websocket.Dial(up.trace(ctx), c.connectURL(req), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport: up,
			// A redirect would carry the token elsewhere; the relay sends none.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader:     header,
		OnPingReceived: up.pinged,
		OnPongReceived: up.ponged,
	})
	if err == nil {
		return newConn(ws, up.body, up.raw, c.keepAlive()), nil
	}
	switch {
	case resp == nil:
		fail.Stage, fail.Err = up.reached(), concise(ctx, err)
		if fail.Stage == StageConnect || fail.Stage == StageTLS {
			c.names.forget()
		}
		if fail.Stage == StageUpgrade && isNonsense(fail.Err) {
			fail.Err = fmt.Errorf("%w: %w", ErrNotRelay, fail.Err)
		}
	case resp.StatusCode == http.StatusSwitchingProtocols:
		fail.Stage, fail.Err = StageUpgrade, fmt.Errorf("%w: %w", ErrNotRelay, err)
	default:
		fail.refused(resp)
	}
	return nil, fail
}

// connectURL is where a sender of req's entity connects. The "$" is literal, an
// entity's segments are escaped one by one, and the token is not part of it.
func (c *Client) connectURL(req Request) string {
	segments := strings.Split(req.Entity, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return "wss://" + c.Endpoint + "/$hc/" + strings.Join(segments, "/") +
		"?sb-hc-action=connect&sb-hc-id=" + url.QueryEscape(req.ID)
}

// audience is what a token is signed for: the reference client's form, with
// neither port nor the real scheme and with a trailing slash.
func (c *Client) audience(entity string) string {
	host, _, err := net.SplitHostPort(c.Endpoint)
	if err != nil {
		host = c.Endpoint
	}
	return "http://" + strings.ToLower(host) + "/" + strings.Trim(entity, "/") + "/"
}

// upgrade is the http.RoundTripper of one attempt. It notes how far the attempt
// comes and puts a body between the library and the upgraded connection.
type upgrade struct {
	client *Client
	body   *body
	raw    net.Conn
	proxy  bool
	stage  atomic.Value // Stage; the transport's goroutines may outlive the attempt
}

func (u *upgrade) trace(ctx context.Context) context.Context {
	u.stage.Store(StageConnect)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { u.stage.Store(StageResolve) },
		ConnectStart:      func(string, string) { u.stage.Store(StageConnect) },
		TLSHandshakeStart: func() { u.stage.Store(StageTLS) },
		GotConn: func(info httptrace.GotConnInfo) {
			u.raw = info.Conn
			u.stage.Store(StageUpgrade)
		},
	})
}

// reached is the stage at which the attempt failed.
func (u *upgrade) reached() Stage {
	stage := u.stage.Load().(Stage)
	if u.proxy && (stage == StageResolve || stage == StageConnect) {
		return StageProxy
	}
	return stage
}

func (u *upgrade) RoundTrip(req *http.Request) (*http.Response, error) {
	transport := u.client.httpTransport()
	if proxy, err := transport.Proxy(req); err == nil {
		u.proxy = proxy != nil
	}
	resp, err := transport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	rwc, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return resp, nil // the library says what is wrong
	}
	u.body = newBody(rwc)
	resp.Body = u.body
	return resp, nil
}

// pinged answers pings in the library's place; see body.answerPing.
func (u *upgrade) pinged(_ context.Context, payload []byte) bool {
	u.body.answerPing(payload)
	return false
}

func (u *upgrade) ponged(_ context.Context, payload []byte) { u.body.ponged(payload) }

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

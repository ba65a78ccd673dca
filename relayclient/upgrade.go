package relayclient

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// upgrade turns the link into a tunnel (docs/relay-protocol.md §3.1), or closes it.
func (t *try) upgrade(ctx context.Context, l *link) (*Conn, *DialError) {
	givenUp := func() bool { return false }
	if t.Warm {
		givenUp = l.watchUnacked()
	}
	began := time.Now()
	tunnel, resp, err := t.shakeHands(ctx, linkTransport{l})
	t.Upgrade = time.Since(began)
	if givenUp() && err == nil {
		resp, err = nil, ErrDropped // the answer came that very moment
	}
	t.noteClock(resp)
	state := l.ConnectionState()
	t.Resumed, t.HelloRetry = state.DidResume, state.HelloRetryRequest
	if err != nil {
		l.Close()
		return nil, t.requestFailure(ctx, StageUpgrade, resp, err)
	}
	return newConn(tunnel, l.Conn, l.socket, t.keepAlive(), l.guarded), nil
}

// noteClock notes how far this machine's clock is from the relay's, if there is an answer
// that says so.
func (t *try) noteClock(resp *http.Response) {
	if resp != nil {
		t.ClockOffset = clockOffset(resp.Header.Get("Date"), time.Now())
	}
}

// shakeHands performs the WebSocket handshake (RFC 6455 §4.1) and returns the connection that
// it was performed on, for frames.
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
	_ = ws.CloseNow() // gives the library's buffers back; handover.Close leaves the connection open once done is set
	return h.ReadWriteCloser, resp, nil
}

// handover is the http.RoundTripper of one handshake. It stands between the WebSocket library
// and the upgraded connection, which the library must neither read nor close.
type handover struct {
	http.RoundTripper
	io.ReadWriteCloser      // the upgraded connection; nil without a 101
	done               bool // it is ours: Close leaves it open
}

func (h *handover) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		// The library would read the body, and wait for it, although nobody needs it.
		resp.Body.Close()
		resp.Body = http.NoBody
		return resp, nil
	}
	if tunnel, ok := resp.Body.(io.ReadWriteCloser); ok { // else the library returns an error
		h.ReadWriteCloser = tunnel
		resp.Body = h
	}
	return resp, nil
}

// Read returns nothing: the library reads only an answer that it does not accept.
func (h *handover) Read([]byte) (int, error) { return 0, io.EOF }

// Close closes the upgraded connection unless the handshake has succeeded.
func (h *handover) Close() error {
	if h.done {
		return nil
	}
	return h.ReadWriteCloser.Close()
}

// connectURL is where a sender of req's entity connects (docs/relay-protocol.md §3.1). The
// "$" is literal, an entity's segments are escaped one by one, and the token is not part of
// it.
func (c *Client) connectURL(req Request) string {
	return "wss://" + c.Namespace + "/$hc/" + escapePath(req.Entity) +
		"?sb-hc-action=connect&sb-hc-id=" + url.QueryEscape(req.ID)
}

// audience is what a token is signed for, in the reference client's form: with neither port
// nor the real scheme, and with a trailing slash (docs/relay-protocol.md §2.1).
func (c *Client) audience(entity string) string {
	return "http://" + strings.ToLower(c.host()) + "/" + strings.Trim(entity, "/") + "/"
}

// escapePath escapes an entity's segments one by one.
func escapePath(entity string) string {
	segments := strings.Split(entity, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

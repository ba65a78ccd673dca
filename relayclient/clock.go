package relayclient

import (
	"cmp"
	"context"
	"net/http"
	"time"
)

// Clock asks the relay for the time and returns this machine's clock minus the relay's, to
// about a second; 0 also when the relay's answer has no date. It sends an ordinary HTTPS
// request outside of any hybrid connection, on the way that [Client.Dial] takes: with its
// look-up of names, proxy and root certificates, and ten seconds at most. No token is sent and
// no listener learns of it. The error is always a *[DialError] with an empty Entity, and says
// how far the way to the relay leads.
func (c *Client) Clock(ctx context.Context) (offset time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(c.attemptTimeout, attemptTimeout), ErrAttemptTimeout)
	defer cancel()
	t := &try{Client: c}
	p := newProgress()
	l, err := c.connect(ctx, p)
	if err == nil {
		defer l.Close()
		p.stage.Store(StageUpgrade)
		offset, err = t.askTime(ctx, linkTransport{l})
	}
	if err != nil {
		return 0, t.requestFailure(ctx, p.current(), nil, err)
	}
	return offset, nil
}

// askTime makes the request. Whatever the status of the answer, its Date counts.
func (t *try) askTime(ctx context.Context, transport http.RoundTripper) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+t.Namespace+"/", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Relay-User-Agent", t.userAgent())
	req.Close = true
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return clockOffset(resp.Header.Get("Date"), time.Now()), nil
}

// clockOffset is now minus the time in a Date header (RFC 9110 §6.6.1), 0 where it is none. The
// header has whole seconds, rounded down: half a second is the best guess at the rest.
func clockOffset(date string, now time.Time) time.Duration {
	at, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	return now.Round(0).Sub(at.Add(time.Second / 2))
}

package relayclient

import (
	"cmp"
	"context"
	"net/http"
	"time"
)

// Clock asks the relay for the time and returns this machine's clock minus the
// relay's, to about a second; 0 also when the relay's answer has no date. It is
// an ordinary request outside of any hybrid connection, on the way that Dial
// takes: the same names, proxy, roots and time-out. No token is sent and no
// listener learns of it. The error is always a *[DialError] with an empty
// Entity, and says how far the way to the relay leads.
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
		return 0, t.answered(ctx, p.current(), nil, err)
	}
	return offset, nil
}

// askTime makes the request. Whatever the relay answers, its date counts.
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

// clockOffset is now minus the time in a Date header, RFC 9110 §6.6.1, which
// has whole seconds, cut off: half of one is the best guess at the rest.
func clockOffset(date string, now time.Time) time.Duration {
	at, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	return now.Round(0).Sub(at.Add(time.Second / 2))
}

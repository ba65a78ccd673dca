package relayclient

import (
	"context"
	mathrand "math/rand/v2"
	"time"
)

// The pauses between attempts: short at first, since a listener that reconnects is back
// within seconds.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 5 * time.Second
)

// retry calls dialOnce until it succeeds, fails for good, or ctx ends. A token that is refused is
// followed by another credential at once.
func (c *Client) retry(ctx context.Context, req Request, dialOnce func(*choice) *DialError) *DialError {
	var last *DialError
	pause := firstPause
	credential := choose(req.Tokens)
	for attempts := 1; ; attempts++ {
		failed := dialOnce(credential)
		if failed == nil || failed.tokenTaken() {
			credential.noteTaken()
		}
		if failed == nil {
			return nil
		}
		if !over(ctx) || last == nil {
			last = failed
		} // else the caller's time ended this attempt; the one before says why it took so long
		last.Attempts = attempts
		if ctx.Err() == nil && credential.replace(failed) {
			continue
		}
		if !failed.Temporary() || !wait(ctx, max(jitter(pause), failed.RetryAfter), req.NoRetry) {
			return credential.verdict(last)
		}
		pause = min(2*pause, maxPause)
	}
}

// over reports whether the caller's time has ended. Package net has a timer of its own for the
// deadline, which may fire before that of ctx.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// jitter spreads senders that failed together over [d/2, d).
func jitter(d time.Duration) time.Duration {
	return d/2 + mathrand.N(d/2)
}

// wait pauses for d and reports whether another attempt should be made. It does not pause
// when ctx would end meanwhile: the caller gets its answer now.
func wait(ctx context.Context, d time.Duration, noRetry <-chan struct{}) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-noRetry:
		return false
	}
	select {
	case <-noRetry:
		return false
	default:
		return ctx.Err() == nil
	}
}

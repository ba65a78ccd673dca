package relayclient

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Rollover is a [TokenSource] that presents one of several credentials: when the relay refuses
// the one in use, Dial tries the others at once and within the same call, and the one that
// works is used from then on. The first is preferred: every five minutes or so one dial tries
// it again, and it is used again once it works. Make it with [NewRollover]; it is safe for
// concurrent use.
type Rollover struct {
	// Hooks are set before the first Dial.
	Hooks RolloverHooks

	mu      sync.Mutex
	sources []TokenSource // the preferred one first
	using   int           // index of the source in use
	retryAt time.Time     // when the first is tried again, while another is in use
}

// RolloverHooks are told what happens, on the goroutine that called Dial. Each may be nil.
// Credentials are numbered from 0, in the order given to NewRollover or Replace.
type RolloverHooks struct {
	// Refused is called when a credential is refused, or gives no token, and before another
	// is chosen. It may call Replace.
	Refused func(credential int, why *DialError)
	// Using is called when another credential is used from now on. Why is the refusal that
	// led to it, nil when the preferred credential works again.
	Using func(credential int, why *DialError)
}

// firstAgain is about how long another credential is used before the preferred one is tried
// again. A refusal costs a round trip or two and reaches no listener.
const firstAgain = 5 * time.Minute

// NewRollover returns a Rollover that prefers the first of sources, of which there is at least
// one. They are compared by ==; a nil one presents no token.
func NewRollover(sources ...TokenSource) *Rollover { return &Rollover{sources: sources} }

// Replace sets the credentials, of which there is at least one. They are compared by == with
// those before: the one in use stays in use if it is among them, else the first is used.
func (r *Rollover) Replace(sources ...TokenSource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	used := r.sources[r.using]
	changed := sources[0] != r.sources[0]
	r.sources = sources
	r.using = max(0, slices.Index(sources, used))
	if changed {
		r.retryAt = time.Time{} // what is new has not been refused yet
	}
}

// Using returns the number of the credential in use; 0 is the first.
func (r *Rollover) Using() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.using
}

// Token returns the token of the credential in use, empty where that is nil.
func (r *Rollover) Token(ctx context.Context, audience string) (string, error) {
	r.mu.Lock()
	source := r.sources[r.using]
	r.mu.Unlock()
	if source == nil {
		return "", nil
	}
	return source.Token(ctx, audience)
}

// choice is the credential that one dial presents, and those that it has presented.
type choice struct {
	rollover *Rollover     // nil where there is nothing to choose from
	source   TokenSource   // what is presented now; nil presents no token
	tried    []TokenSource // what was refused
	why      *DialError    // the last refusal
	first    *DialError    // the first refusal
	trial    bool          // source is the preferred one while another is in use
}

// choose begins a dial.
func choose(tokens TokenSource) *choice {
	c := &choice{source: tokens}
	if c.rollover, _ = tokens.(*Rollover); c.rollover != nil {
		c.source, c.trial = c.rollover.first()
	}
	return c
}

// first is what a dial presents to begin with.
func (r *Rollover) first() (source TokenSource, trial bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.using != 0 && !time.Now().Before(r.retryAt) {
		r.retryAt = nextRetry()
		return r.sources[0], true
	}
	return r.sources[r.using], false
}

// nextRetry is when a credential that has just been refused is tried again.
func nextRetry() time.Time { return time.Now().Add(firstAgain*4/5 + mathrand.N(firstAgain*2/5)) }

// replace takes another source if failed says that nobody takes the present one's token, and
// reports whether it has.
func (c *choice) replace(failed *DialError) bool {
	if c.rollover == nil || !errors.Is(failed, ErrUnauthorized) && failed.Stage != StageToken {
		return false
	}
	r := c.rollover
	c.why, c.trial = failed, false
	if c.first == nil {
		c.first = failed
	}
	c.tried = append(c.tried, c.source)
	if i := r.index(c.source); i >= 0 && r.Hooks.Refused != nil {
		r.Hooks.Refused(i, failed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(r.sources), func(s TokenSource) bool { return slices.Contains(c.tried, s) })
	if len(left) == 0 {
		failed.AllRefused = len(r.sources) > 1 // else what was tried before has been replaced
		return false
	}
	c.source = left[0]
	if used := r.sources[r.using]; slices.Contains(left, used) {
		c.source = used
	}
	return true
}

// verdict is what to return for the last failure: where no credential works, the
// one tried first says why, since the others are fallbacks.
func (c *choice) verdict(last *DialError) *DialError {
	if !last.AllRefused {
		return last
	}
	c.first.AllRefused, c.first.Attempts = true, last.Attempts
	return c.first
}

// noteTaken notes that the relay took the source's token. Only a dial that had another source
// refused, or that tries whether the preferred one works again, may switch the Rollover to its
// source; an older, slower dial must not switch it back.
func (c *choice) noteTaken() {
	r := c.rollover
	if r == nil || c.why == nil && !c.trial {
		return
	}
	r.mu.Lock()
	i := slices.Index(r.sources, c.source)
	changed := i >= 0 && i != r.using
	if changed {
		r.using, r.retryAt = i, nextRetry()
	}
	r.mu.Unlock()
	if changed && r.Hooks.Using != nil {
		r.Hooks.Using(i, c.why)
	}
}

// token asks the source. Where there is another source, half of the time is left for it: an
// identity's endpoint that says nothing must not take all of the caller's time.
func (c *choice) token(ctx context.Context, audience string) (string, error) {
	if deadline, ok := ctx.Deadline(); ok && c.othersLeft() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	return c.source.Token(ctx, audience)
}

// othersLeft reports whether there are further sources that were not tried.
func (c *choice) othersLeft() bool {
	if c.rollover == nil {
		return false
	}
	c.rollover.mu.Lock()
	defer c.rollover.mu.Unlock()
	return slices.ContainsFunc(c.rollover.sources, func(s TokenSource) bool { return s != c.source && !slices.Contains(c.tried, s) })
}

// number is the number of the source that is presented.
func (c *choice) number() int {
	if c.rollover == nil {
		return 0
	}
	return max(0, c.rollover.index(c.source))
}

// index is the number of a source, -1 for one that has been replaced.
func (r *Rollover) index(s TokenSource) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Index(r.sources, s)
}

package relayclient

import (
	"context"
	"sync"
	"time"
)

const (
	// warmLife is how long a link may wait to be used, well below the time after
	// which relays and load balancers close a silent connection.
	warmLife = 45 * time.Second
	// warmUse is how long after the last connection the next one is expected.
	warmUse = 5 * time.Minute
	// warmPause is how long to wait after a link could not be made.
	warmPause = 5 * time.Second
)

// warmPool keeps links ready for a client that is in use, so that a new connection costs one
// round trip instead of three. They stop at the TLS handshake: an upgrade would make the
// listener dial its target. The zero value is empty, and its keeper does not run.
type warmPool struct {
	mu    sync.Mutex
	links []*link            // oldest first
	until time.Time          // when the client counts as out of use
	stop  context.CancelFunc // ends the keeper; nil until it runs
	over  bool               // close was called
	wake  chan struct{}      // has the keeper look at once
	done  sync.WaitGroup     // the keeper
}

// take returns a link that seems alive, or nil. The caller closes it.
func (w *warmPool) take() *link {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.links) > 0 {
		l := w.links[0]
		w.links = w.links[1:]
		if time.Since(l.born) < warmLife && l.silent() {
			return l
		}
		l.Close()
	}
	return nil
}

// noteUse notes that a connection was made, so that another may follow soon. The first one
// starts the keeper: from then on the TLS session and the key exchange are known.
func (w *warmPool) noteUse(c *Client) {
	if c.WarmConnections <= 0 {
		return
	}
	if proxy, err := c.proxyURL(); proxy != nil || err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Now().Add(warmUse)
	if w.over {
		return
	}
	if w.stop == nil {
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background())
		w.wake = make(chan struct{}, 1)
		w.done.Go(c.guarded(func() { w.keep(ctx, c) }))
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// keep is the keeper: it makes links while some are missing and drops those that grew old.
func (w *warmPool) keep(ctx context.Context, c *Client) {
	var notBefore time.Time
	for {
		missing, next := w.tend(c.WarmConnections)
		if missing && time.Now().After(notBefore) {
			if !w.add(ctx, c) {
				notBefore = time.Now().Add(warmPause)
			}
			continue
		}
		if missing {
			next = min(next, time.Until(notBefore)+time.Millisecond)
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-w.wake:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// tend drops what is too old, and reports whether a link should be made and when to look
// again.
func (w *warmPool) tend(want int) (missing bool, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.links) > 0 && time.Since(w.links[0].born) >= warmLife {
		w.links[0].Close()
		w.links = w.links[1:]
	}
	next = time.Hour
	if len(w.links) > 0 {
		next = time.Until(w.links[0].born.Add(warmLife))
	}
	return len(w.links) < want && time.Now().Before(w.until), next
}

// add makes one link.
func (w *warmPool) add(ctx context.Context, c *Client) bool {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	l, err := c.connect(ctx, newProgress())
	if err != nil {
		return false // the next Dial meets the failure too, and returns it
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links = append(w.links, l)
	return true
}

// close drops all links and ends the keeper.
func (w *warmPool) close() {
	w.mu.Lock()
	w.over = true
	if w.stop != nil {
		w.stop()
	}
	w.mu.Unlock()
	w.done.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		l.Close()
	}
	w.links = nil
}

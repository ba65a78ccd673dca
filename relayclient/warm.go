package relayclient

import (
	"context"
	"errors"
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
	// doubtful is how often to look whether a relay has acknowledged a request
	// over a link that had waited.
	doubtful = time.Second
)

// warmth keeps links ready for a client that is in use, so that a new connection
// costs one round trip instead of three. They stop at the TLS handshake: an
// upgrade would make the listener dial its target.
type warmth struct {
	mu    sync.Mutex
	links []*link // oldest first
	until time.Time
	stop  context.CancelFunc // nil until the keeper runs
	over  bool
	wake  chan struct{}
	done  sync.WaitGroup
}

// take returns a link that seems alive, or nil. The caller closes it.
func (w *warmth) take() *link {
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

// silent reports whether the relay has said nothing: neither ended the
// connection nor answered a request that was never made, as a front end may that
// is tired of waiting. What TLS says to itself does not count.
func (l *link) silent() bool {
	if l.socket == nil {
		return true // the answer to the request will tell
	}
	l.socket.nowait, l.socket.drained = true, false
	_, err := l.Conn.Read(make([]byte, 1))
	l.socket.nowait = false
	return errors.Is(err, errNotYet)
}

// used tells that a connection was made, so that another may follow soon. The
// first one starts the keeper: then the relay is there, and the TLS session and
// the key exchange are known.
func (w *warmth) used(c *Client) {
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
		w.done.Go(func() {
			defer guard(c.Panicked).raise()
			w.keep(ctx, c)
		})
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// keep makes links while some are missing and drops those that grew old.
func (w *warmth) keep(ctx context.Context, c *Client) {
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

// tend drops what is too old, and reports whether a link should be made and
// when to look again.
func (w *warmth) tend(want int) (missing bool, next time.Duration) {
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
func (w *warmth) add(ctx context.Context, c *Client) bool {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	l, err := c.connect(ctx, newProgress())
	if err != nil {
		return false // the next connection meets the same, and tells
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links = append(w.links, l)
	return true
}

// close drops all links and ends the keeper.
func (w *warmth) close() {
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

// doubt watches over a link that had waited and is now written to, until stop
// is called. What a machine on the way has forgotten is neither answered nor
// refused; the kernel sees that nothing is acknowledged. Stop reports whether the
// link was given up.
func (l *link) doubt() (stop func() (givenUp bool)) {
	var mu sync.Mutex
	var over, givenUp bool
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		defer l.panicked.raise()
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		if p := pathOf(l); p.unacked > 0 && p.retransmitted {
			givenUp = true
			abort(l.Conn)
			return
		}
		timer.Reset(doubtful)
	})
	timer.Reset(doubtful) // only now, when the function may use it
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
		return givenUp
	}
}

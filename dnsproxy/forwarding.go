package dnsproxy

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// budget bounds the time for one query, all upstreams together. It is
	// below the 5 s after which glibc, musl and Go's resolver give up, so that
	// they read a SERVFAIL instead of asking again.
	budget = 4500 * time.Millisecond

	// patience is how long an upstream from which nothing at all is heard is
	// waited for before the next is asked as well. Resolvers in one network
	// answer within milliseconds; some names take one longer, but not all.
	patience = 400 * time.Millisecond
)

// The texts of these errors are sent to clients (RFC 8914).
var (
	errNoUpstreams = errors.New("no usable DNS upstream is set")
	errNoAnswer    = errors.New("no DNS upstream answered")
)

// forward returns the best answer to q that can be had in time, with q's id.
// A client on "tcp" gets a reply that was truncated over UDP in full.
func (p *pool) forward(ctx context.Context, q *query, network string) ([]byte, error) {
	f := forwarding{pool: p, q: q, network: network, order: p.order(), deadline: time.Now().Add(budget)}
	if len(f.order) == 0 {
		return nil, errNoUpstreams
	}
	if len(f.order) == 1 {
		f.single = true // from another port: one lost datagram is not a dead upstream
		f.order = append(f.order, f.order[0])
	}
	f.results = make(chan result, 2*len(f.order)) // over UDP, and over TCP
	var cancel context.CancelFunc
	f.ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	defer f.closeAll()
	return f.run()
}

// A forwarding is one query on its way through the upstreams. Its methods are
// called by one goroutine.
type forwarding struct {
	pool     *pool
	ctx      context.Context
	q        *query
	network  string
	order    []*upstream // still to be asked
	single   bool        // the only upstream is listed twice in order; the second is the retry
	deadline time.Time
	open     []*attempt // those that wait, in the order in which they began
	results  chan result
	failure  []byte // the first SERVFAIL or REFUSED
}

// An attempt is a query with one upstream.
type attempt struct {
	u        *upstream
	q        *query
	began    time.Time
	deadline time.Time
	results  chan<- result // with room for all that there can be

	socket *socket // nil over TCP
	id     uint16  // with which the query was sent through socket
}

// A result is what became of an attempt.
type result struct {
	*attempt
	reply []byte
	err   error
}

// run asks one upstream after the other until one has given a reply that can be
// handed on, or none is left.
func (f *forwarding) run() ([]byte, error) {
	f.askNext()
	timer := time.NewTimer(budget)
	defer timer.Stop()
	for len(f.open) > 0 {
		timer.Reset(time.Until(f.nextExpiry()))
		select {
		case r := <-f.results:
			if reply := f.take(r); reply != nil {
				return reply, nil
			}
		case <-timer.C:
			f.expire(time.Now())
		case <-f.ctx.Done():
			return nil, f.ctx.Err()
		}
	}
	if f.failure != nil {
		return f.failure, nil
	}
	return nil, errNoAnswer
}

// askNext asks the next upstream that can be asked.
func (f *forwarding) askNext() {
	for len(f.order) > 0 {
		now := time.Now()
		left := f.deadline.Sub(now)
		if f.single {
			left /= time.Duration(len(f.order))
		}
		a := &attempt{u: f.order[0], q: f.q, began: now, deadline: now.Add(min(f.pool.timeout, left)), results: f.results}
		f.order = f.order[1:]
		if f.network == "tcp" && len(f.q.raw) > ourSize {
			f.askOverTCP(a)
			return
		}
		s, err := f.pool.takeSocket(f.ctx, a.u)
		if err == nil {
			err = s.ask(a)
		}
		if err == nil {
			f.open = append(f.open, a)
			return
		}
		if a.socket != nil {
			s.forget(a)
		}
		f.pool.noteFailure(f.ctx, a, err)
	}
}

// askOverTCP asks a's upstream over a connection of its own.
func (f *forwarding) askOverTCP(a *attempt) {
	f.open = append(f.open, a)
	f.pool.goroutines.Go(f.pool.guarded(func() {
		ctx, cancel := context.WithDeadline(f.ctx, a.deadline)
		defer cancel()
		reply, err := f.pool.askOverTCP(ctx, a.u, f.q)
		a.results <- result{attempt: a, reply: reply, err: err}
	}))
}

// take returns the reply if it is one for the client; otherwise the next
// upstream may know better.
func (f *forwarding) take(r result) []byte {
	if !f.close(r.attempt) {
		return nil // it has expired
	}
	if r.err != nil {
		f.pool.noteFailure(f.ctx, r.attempt, r.err)
		f.askNext()
		return nil
	}
	if f.network == "tcp" && r.socket != nil && r.reply[2]&flagTC != 0 {
		f.pool.markUp(f.ctx, r.u) // it is there, whatever becomes of TCP
		r.socket = nil
		f.askOverTCP(r.attempt)
		return nil
	}
	f.pool.noteReply(f.ctx, r.attempt, r.reply)
	if !failed(r.reply) {
		return r.reply
	}
	if f.failure == nil {
		f.failure = r.reply
	}
	if f.single {
		f.order = nil // the retry is for silence, and the upstream has answered
	}
	f.askNext()
	return nil
}

// nextExpiry returns when expire must be called unless a result comes before.
func (f *forwarding) nextExpiry() time.Time {
	next := f.deadline
	for _, a := range f.open {
		next = earlier(next, a.deadline)
	}
	if f.mayHurry() {
		next = earlier(next, f.latest().began.Add(patience))
	}
	return next
}

// expire drops attempts past their deadline and starts the next upstream if none
// is left or the latest is silent.
func (f *forwarding) expire(now time.Time) {
	for _, a := range slices.Clone(f.open) {
		if !now.Before(a.deadline) {
			f.close(a)
			f.pool.noteFailure(f.ctx, a, errSilent)
		}
	}
	if len(f.open) == 0 {
		f.askNext()
		return
	}
	if latest := f.latest(); f.mayHurry() && !now.Before(latest.began.Add(patience)) {
		f.pool.markSuspect(latest)
		f.askNext()
	}
}

// mayHurry reports whether there is an upstream that can be asked before the
// latest has expired. A retry is not hurried.
func (f *forwarding) mayHurry() bool { return len(f.order) > 0 && !f.single }

// latest returns the attempt that began last. One must be open.
func (f *forwarding) latest() *attempt { return f.open[len(f.open)-1] }

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// close ends the wait for a, and reports whether there was one.
func (f *forwarding) close(a *attempt) bool {
	i := slices.Index(f.open, a)
	if i < 0 {
		return false
	}
	f.open = slices.Delete(f.open, i, i+1)
	if a.socket != nil {
		a.socket.forget(a)
	}
	return true
}

// closeAll ends all waits.
func (f *forwarding) closeAll() {
	for len(f.open) > 0 {
		f.close(f.open[0])
	}
}

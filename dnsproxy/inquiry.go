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

var (
	errNoUpstreams = errors.New("no usable DNS upstream is set")
	errNoAnswer    = errors.New("no DNS upstream answered")
)

// An inquiry is one query on its way through the upstreams. Its methods are
// called by one goroutine.
type inquiry struct {
	pool     *pool
	ctx      context.Context
	q        *query
	network  string
	order    []*upstream // still to be asked
	again    bool        // the last of order is the one before it
	deadline time.Time
	open     []*asking
	results  chan result
	failure  []byte // the first SERVFAIL or REFUSED
}

// An asking is a query with one upstream.
type asking struct {
	u       *upstream
	q       *query
	began   time.Time
	until   time.Time
	results chan<- result // with room for all that there can be

	lane *lane // nil over TCP
	id   uint16
}

type result struct {
	*asking
	reply []byte
	err   error
}

// forward returns the best answer to q that can be had in time, with q's id.
// A client on "tcp" gets a reply that was truncated over UDP in full.
func (p *pool) forward(ctx context.Context, q *query, network string) ([]byte, error) {
	in := inquiry{pool: p, q: q, network: network, order: p.order(), deadline: time.Now().Add(budget)}
	if len(in.order) == 0 {
		return nil, errNoUpstreams
	}
	if len(in.order) == 1 {
		in.again = true // from another port: one lost datagram is not a dead upstream
		in.order = append(in.order, in.order[0])
	}
	in.results = make(chan result, 2*len(in.order)) // over UDP, and over TCP
	var cancel context.CancelFunc
	in.ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	defer in.end()
	return in.run()
}

func (in *inquiry) run() ([]byte, error) {
	in.askNext()
	timer := time.NewTimer(budget)
	defer timer.Stop()
	for len(in.open) > 0 {
		timer.Reset(time.Until(in.wake()))
		select {
		case r := <-in.results:
			if reply := in.take(r); reply != nil {
				return reply, nil
			}
		case <-timer.C:
			in.pass(time.Now())
		case <-in.ctx.Done():
			return nil, in.ctx.Err()
		}
	}
	if in.failure != nil {
		return in.failure, nil
	}
	return nil, errNoAnswer
}

// askNext asks the next upstream that can be asked.
func (in *inquiry) askNext() {
	for len(in.order) > 0 {
		now := time.Now()
		left := in.deadline.Sub(now)
		if in.again {
			left /= time.Duration(len(in.order))
		}
		a := &asking{u: in.order[0], q: in.q, began: now, until: now.Add(min(in.pool.timeout, left)), results: in.results}
		in.order = in.order[1:]
		if in.network == "tcp" && len(in.q.raw) > ourSize {
			in.askOverTCP(a)
			return
		}
		l, err := in.pool.lane(in.ctx, a.u)
		if err == nil {
			err = l.ask(a)
		}
		if err == nil {
			in.open = append(in.open, a)
			return
		}
		if a.lane != nil {
			l.forget(a)
		}
		in.pool.noteFailure(in.ctx, a, err)
	}
}

// askOverTCP asks a's upstream over a connection of its own.
func (in *inquiry) askOverTCP(a *asking) {
	in.open = append(in.open, a)
	in.pool.running.Go(func() {
		defer in.pool.panicked.raise()
		ctx, cancel := context.WithDeadline(in.ctx, a.until)
		defer cancel()
		reply, err := in.pool.exchange(ctx, a.u, in.q)
		a.results <- result{asking: a, reply: reply, err: err}
	})
}

// take returns the reply if it is one for the client; otherwise the next
// upstream may know better.
func (in *inquiry) take(r result) []byte {
	if !in.close(r.asking) {
		return nil // it was given up, and what it says now does not come in time
	}
	if r.err != nil {
		in.pool.noteFailure(in.ctx, r.asking, r.err)
		in.askNext()
		return nil
	}
	if in.network == "tcp" && r.lane != nil && r.reply[2]&flagTC != 0 {
		in.pool.back(in.ctx, r.u) // it is there, whatever becomes of TCP
		r.lane = nil
		in.askOverTCP(r.asking)
		return nil
	}
	in.pool.noteReply(in.ctx, r.asking, r.reply)
	if !failed(r.reply) {
		return r.reply
	}
	if in.failure == nil {
		in.failure = r.reply
	}
	if in.again {
		in.order = nil // it has answered: the second attempt is for silence
	}
	in.askNext()
	return nil
}

// wake is when something must be done unless a result comes.
func (in *inquiry) wake() time.Time {
	next := in.deadline
	for _, a := range in.open {
		if a.until.Before(next) {
			next = a.until
		}
	}
	if len(in.order) > 0 && !in.again {
		latest := in.open[len(in.open)-1]
		next = earlier(next, latest.began.Add(patience))
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// pass gives up who had their time, and asks one more upstream if they are all
// that was asked, or if the latest is not heard of.
func (in *inquiry) pass(now time.Time) {
	for _, a := range slices.Clone(in.open) {
		if !now.Before(a.until) {
			in.close(a)
			in.pool.noteFailure(in.ctx, a, errSilent)
		}
	}
	if len(in.open) == 0 {
		in.askNext()
		return
	}
	latest := in.open[len(in.open)-1]
	if len(in.order) > 0 && !in.again && !now.Before(latest.began.Add(patience)) {
		in.pool.doubt(latest)
		in.askNext()
	}
}

// close ends the wait for a, and reports whether there was one.
func (in *inquiry) close(a *asking) bool {
	i := slices.Index(in.open, a)
	if i < 0 {
		return false
	}
	in.open = slices.Delete(in.open, i, i+1)
	if a.lane != nil {
		a.lane.forget(a)
	}
	return true
}

// end ends all waits.
func (in *inquiry) end() {
	for len(in.open) > 0 {
		in.close(in.open[0])
	}
}

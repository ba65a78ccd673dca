package dnsproxy

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// flights are the queries on their way to upstreams. Clients that ask the same at
// the same time share one.
type flights struct {
	mu  sync.Mutex
	all map[string]*flight
}

type flight struct{ waiters []waiter }

// A waiter is a client whose query is in flight.
type waiter struct {
	q *query
	// done takes the reply to q, from any goroutine; nil means that there will be
	// none, for the Server ends. It may keep the reply.
	done func(reply []byte, source Source)
}

// join has w wait for a flight under the key, and reports whether it is there
// already. Otherwise, if there may be one more, the caller makes it and calls
// land.
func (f *flights) join(key []byte, w waiter, oneMore func() bool) (shared, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if there := f.all[string(key)]; there != nil {
		there.waiters = append(there.waiters, w)
		return true, true
	}
	if !oneMore() {
		return false, false
	}
	if f.all == nil {
		f.all = make(map[string]*flight)
	}
	f.all[string(key)] = &flight{waiters: []waiter{w}}
	return false, true
}

// land returns those who wait for a flight. Who comes later needs another.
func (f *flights) land(key []byte) []waiter {
	f.mu.Lock()
	defer f.mu.Unlock()
	landed := f.all[string(key)]
	delete(f.all, string(key))
	return landed.waiters
}

// depart has an upstream answer a query that is not ours, from a goroutine of the
// Server's or from one that asks the same already. It reports false if there are
// too many of these. Key is the query's in the cache, nil if it has none.
func (p *proxy) depart(ctx context.Context, key []byte, network string, w waiter) bool {
	if key == nil {
		if !p.oneMore() {
			return false
		}
		p.flying.Go(func() {
			defer p.panicked.raise()
			p.fly(ctx, nil, network, w.q, func() []waiter { return []waiter{w} })
		})
		return true
	}
	// A reply over UDP may have been cut to the size that its client takes.
	flight := append(append([]byte(nil), key...), network...)
	if network == "udp" {
		flight = binary.BigEndian.AppendUint16(flight, uint16(w.q.size))
	}
	shared, ok := p.flights.join(flight, w, p.oneMore)
	if ok && !shared {
		key = flight[:len(key)]
		p.flying.Go(func() {
			defer p.panicked.raise()
			p.fly(ctx, key, network, w.q, func() []waiter { return p.flights.land(flight) })
		})
	}
	return ok
}

// oneMore reports whether one more query may be in flight. It is until fly takes
// it back.
func (p *proxy) oneMore() bool {
	select {
	case p.inFlight <- struct{}{}:
		return true
	default:
		return false
	}
}

// fly has q answered and hands the reply to those who wait when it is there.
func (p *proxy) fly(ctx context.Context, key []byte, network string, q *query, landed func() []waiter) {
	reply, err := p.pool.forward(ctx, q, network)
	<-p.inFlight
	if err == nil {
		p.siblings.replied(ctx, q, reply)
	}
	source, now := SourceForwarded, time.Now()
	switch {
	case ctx.Err() != nil:
		reply = nil
	case err != nil || rcodeOf(reply) == dns.RcodeServerFailure:
		if r := p.cache.get(key); r != nil && r.usable(now) {
			reply, source = r.append(nil, q, now), SourceStale
		} else if err != nil {
			reply = q.serverFailure(dns.ExtendedErrorCodeNoReachableAuthority, err.Error())
		}
	case key != nil:
		if r, ok := remember(q, reply, now); ok {
			p.cache.put(key, r)
		} else if conclusive(reply) {
			p.cache.forget(key) // RFC 8767 section 4: it knows better than what we keep
		}
	}
	for _, w := range landed() {
		mine := reply
		if w.q != q && reply != nil {
			mine = slices.Clone(reply)
			w.q.claim(mine)
		}
		if network == "udp" && reply != nil {
			mine = fit(mine, w.q.size)
		}
		w.done(mine, source)
	}
}

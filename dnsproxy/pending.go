package dnsproxy

import "sync"

// pending are the queries that wait for upstreams, as many as there are places.
// Clients that ask the same at the same time wait for one query.
type pending struct {
	places chan struct{} // one element for each query upstream

	mu     sync.Mutex
	shared map[string]*pendingQuery // by key
}

// A pendingQuery is one that clients may share.
type pendingQuery struct{ waiters []waiter }

// A waiter is a client that waits for the reply to its query.
type waiter struct {
	q *query
	// done takes the reply to q, from any goroutine; nil means that there will be
	// none, for the Server ends. It may keep the reply.
	done func(reply []byte, source Source)
}

// join adds w to the pending query for key, or creates it. If joined is false the
// caller runs the query, calls release when upstreams are done with it, and finish
// when the reply is there. Ok is false if there is no place for another query. The
// query for a nil key is never shared.
func (p *pending) join(key []byte, w waiter) (joined, ok bool) {
	if key == nil {
		return false, p.reserve()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if running := p.shared[string(key)]; running != nil {
		running.waiters = append(running.waiters, w)
		return true, true
	}
	if !p.reserve() {
		return false, false
	}
	if p.shared == nil {
		p.shared = make(map[string]*pendingQuery)
	}
	p.shared[string(key)] = &pendingQuery{waiters: []waiter{w}}
	return false, true
}

// reserve takes a place, and reports false if none is free.
func (p *pending) reserve() bool {
	select {
	case p.places <- struct{}{}:
		return true
	default:
		return false
	}
}

// release frees the place of a query.
func (p *pending) release() { <-p.places }

// finish ends the pending query for key, which w created, and returns those who
// wait for it. A later client starts a new query.
func (p *pending) finish(key []byte, w waiter) []waiter {
	if key == nil {
		return []waiter{w}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	finished := p.shared[string(key)]
	delete(p.shared, string(key))
	return finished.waiters
}

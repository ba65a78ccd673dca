package dnsproxy

import "sync"

// pending are the queries that wait for upstreams and may be shared: clients that
// ask the same at the same time wait for one query.
type pending struct {
	mu      sync.Mutex
	queries map[string]*pendingQuery // by key
}

type pendingQuery struct{ waiters []waiter }

// A waiter is a client that waits for the reply to its query.
type waiter struct {
	q *query
	// done takes the reply to q, from any goroutine; nil means that there will be
	// none, for the Server ends. It may keep the reply.
	done func(reply []byte, source Source)
}

// join adds w to the pending query for key, or creates it. If it creates one,
// shared is false, and the caller runs the query and calls finish. Nothing is
// created unless reserve reports true; ok is then false.
func (p *pending) join(key []byte, w waiter, reserve func() bool) (shared, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running := p.queries[string(key)]; running != nil {
		running.waiters = append(running.waiters, w)
		return true, true
	}
	if !reserve() {
		return false, false
	}
	if p.queries == nil {
		p.queries = make(map[string]*pendingQuery)
	}
	p.queries[string(key)] = &pendingQuery{waiters: []waiter{w}}
	return false, true
}

// finish ends the pending query for key and returns those who wait for it. Who
// joins later needs another.
func (p *pending) finish(key []byte) []waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	finished := p.queries[string(key)]
	delete(p.queries, string(key))
	return finished.waiters
}

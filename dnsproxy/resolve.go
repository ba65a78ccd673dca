package dnsproxy

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// answerLater has an upstream answer q, and the reply sent. Send may be called
// after answerLater has returned; due counts it until then: over UDP it runs on the
// goroutine of resolve, over TCP on one of its own. A query that is refused is
// answered at once. The caller gives q away.
func (p *proxy) answerLater(ctx context.Context, due *sync.WaitGroup, network string, q *query, key []byte, began time.Time, send func([]byte)) {
	done := func(reply []byte, source Source) {
		defer due.Done()
		defer p.waitingClients.Add(-1)
		if reply != nil {
			send(reply)
			p.report(network, began, Answered{Source: source, Type: Type(q.qtype), Rcode: rcodeOf(reply)})
		}
	}
	w := waiter{q, done}
	if network == "tcp" { // where a client can keep send waiting, but not other clients
		w.done = func(reply []byte, source Source) {
			go p.guarded(func() { done(reply, source) })()
		}
	}
	due.Add(1)
	const clientsPerQuery = 16 // on average
	limit := cap(p.pending.places)
	if p.waitingClients.Add(1) > clientsPerQuery*int64(limit) || !p.start(ctx, key, network, w) {
		if p.overloaded.allow() {
			p.log.LogAttrs(ctx, slog.LevelWarn, "DNS queries are refused: too many wait for upstreams", slog.Int("limit", limit))
		}
		done(q.serverFailure(dns.ExtendedErrorCodeOther, "too many queries in flight"), SourceRefused)
	}
}

// start runs the query of w upstream, or attaches w to an identical query that is
// already running. Key is the query's in the cache; without one it is never
// shared. Start reports false if too many queries wait for upstreams.
func (p *proxy) start(ctx context.Context, key []byte, network string, w waiter) bool {
	var pendingKey []byte
	if key != nil {
		pendingKey = append(append(pendingKey, key...), network...)
		if network == "udp" { // where a reply may be cut to the size that its client takes
			pendingKey = binary.BigEndian.AppendUint16(pendingKey, uint16(w.q.size))
		}
	}
	joined, ok := p.pending.join(pendingKey, w)
	if ok && !joined {
		key = pendingKey[:len(key)] // the caller's is scratch
		p.goroutines.Go(p.guarded(func() { p.resolve(ctx, key, pendingKey, network, w) }))
	}
	return ok
}

// resolve has upstreams answer the query of first, keeps the reply in the cache,
// and hands it to all who wait for it by then, each with the id and in the case of
// its own query.
func (p *proxy) resolve(ctx context.Context, key, pendingKey []byte, network string, first waiter) {
	q := first.q
	reply, err := p.pool.forward(ctx, q, network)
	p.pending.release()
	if err == nil {
		p.siblings.check(ctx, q, reply)
	}
	source, now := SourceForwarded, time.Now()
	switch {
	case ctx.Err() != nil:
		reply = nil
	case err != nil || rcodeOf(reply) == dns.RcodeServerFailure:
		if cached := p.cache.get(key); cached != nil && cached.usable(now) {
			reply, source = cached.append(nil, q, now), SourceStale
		} else if err != nil {
			reply = q.serverFailure(dns.ExtendedErrorCodeNoReachableAuthority, err.Error())
		}
	case key != nil:
		if cached, ok := newCachedReply(q, reply, now); ok {
			p.cache.put(key, cached)
		} else if conclusive(reply) {
			p.cache.forget(key) // RFC 8767 section 4: a newer answer replaces the cached one even if it cannot be cached
		}
	}
	for _, w := range p.pending.finish(pendingKey, first) {
		mine := reply
		if w.q != q && reply != nil {
			mine = slices.Clone(reply)
			w.q.copyIDAndQuestion(mine)
		}
		if network == "udp" && reply != nil {
			mine = fit(mine, w.q.size)
		}
		w.done(mine, source)
	}
}

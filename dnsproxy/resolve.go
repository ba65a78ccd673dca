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

// A transport brings the messages of clients and takes the replies. One goroutine
// calls its methods; what sender returns may be called by any.
type transport interface {
	// network returns "udp" or "tcp".
	network() string

	// receive waits for messages and returns how many have come, one at least.
	// After an error nothing more comes.
	receive(ctx context.Context) (int, error)

	// message returns message i of those that came last. The next receive
	// overwrites it.
	message(i int) []byte

	// reply has the reply to message i sent by the next flush. The caller keeps
	// reply as it is until then.
	reply(i int, reply []byte)

	// flush sends what reply was called with.
	flush(ctx context.Context)

	// sender returns what sends the reply to message i when it is there, which may
	// be after the next receive. It waits while the client has too many replies
	// to come, and returns nil if ctx ends meanwhile.
	sender(ctx context.Context, i int) func(reply []byte)
}

// serveClients answers what comes over t until t fails, and returns its error. Own
// names and what is cached are answered here and now; for all other queries other
// goroutines wait. Each reply that is still to come is counted in due.
func (p *proxy) serveClients(ctx context.Context, t transport, due *sync.WaitGroup) error {
	network := t.network()
	var q query
	var scratch [1 + 2 + 255]byte // what appendKey appends at most
	var buffers [][]byte          // for replies
	var reports []Answered
	for {
		n, err := t.receive(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		for len(buffers) < n {
			buffers = append(buffers, make([]byte, 0, minUDP))
		}
		reports = reports[:0]
		for i := range n {
			msg := t.message(i)
			if !q.parse(msg) {
				p.dropped(dropReason(msg))
				continue
			}
			reply, report, key := p.answerNow(buffers[i][:0], &q, network, began, scratch[:0])
			if reply == nil {
				if send := t.sender(ctx, i); send != nil {
					p.answerLater(ctx, due, network, q.clone(), key, began, send)
				}
				continue
			}
			buffers[i] = reply
			t.reply(i, reply)
			reports = append(reports, report)
		}
		t.flush(ctx)
		for _, report := range reports {
			p.report(network, began, report)
		}
	}
}

// answerNow appends the reply to q to b, which is empty, and says what it is. If
// only an upstream can answer, the reply is nil and key is q's in the cache,
// appended to scratch, or nil if q has none.
func (p *proxy) answerNow(b []byte, q *query, network string, now time.Time, scratch []byte) (reply []byte, report Answered, key []byte) {
	p.usage.count(q, now)
	if reply, report := p.own.answer(b, q); reply != nil {
		return reply, report, nil
	}
	key = q.appendKey(scratch)
	cached := p.cache.get(key)
	if cached == nil {
		return nil, Answered{}, key
	}
	source := SourceCache
	if !cached.fresh(now) {
		if !cached.usable(now) || !p.pool.allSilent() {
			return nil, Answered{}, key
		}
		source = SourceStale
	}
	reply = cached.append(b, q, now)
	if network == "udp" {
		reply = fit(reply, q.size)
	}
	return reply, Answered{Source: source, Type: Type(q.qtype), Rcode: rcodeOf(reply)}, key
}

// answerLater has an upstream answer q, and the reply sent. Send may be called
// after answerLater has returned; due counts it until then. The caller gives q
// away.
func (p *proxy) answerLater(ctx context.Context, due *sync.WaitGroup, network string, q *query, key []byte, began time.Time, send func([]byte)) {
	done := func(reply []byte, source Source) {
		defer due.Done()
		defer p.waiting.Add(-1)
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
	if p.waiting.Add(1) > clientsPerQuery*int64(limit) || !p.start(ctx, key, network, w) {
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
			p.cache.forget(key) // RFC 8767 section 4: it knows better than what we keep
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

// report tells the owner's hook of a reply that has been sent.
func (p *proxy) report(network string, began time.Time, report Answered) {
	if p.answered != nil {
		report.Network = network
		report.Took = time.Since(began)
		p.answered(report)
	}
}

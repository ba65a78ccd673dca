package dnsproxy

import (
	"context"
	"sync"
	"time"
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
				p.onDropped(dropReason(msg))
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

// report tells the owner's hook of a reply that has been sent.
func (p *proxy) report(network string, began time.Time, report Answered) {
	if p.onAnswered != nil {
		report.Network = network
		report.Took = time.Since(began)
		p.onAnswered(report)
	}
}

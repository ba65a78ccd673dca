package dnsproxy

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// A Server answers the names of its Table and forwards all others. Its fields
// must not be changed while it serves; the zero value answers its own canary
// and SERVFAIL to everything else.
type Server struct {
	// Table holds the own names. Nil is an empty table.
	Table *Table

	// Upstreams are the resolvers for all other names, in the order in which
	// they are asked. None of them may lead back here: see [LeadsTo] for what
	// can be known beforehand. One that turns out to do so is reported as an
	// error and left out.
	Upstreams []netip.AddrPort

	// TTL of own answers and of their absence, in whole seconds, rounded
	// down. Zero means 30 s.
	TTL time.Duration

	// Timeout is how long one upstream has for its answer, one over TCP after
	// a truncated one included. Zero means 2 s. All upstreams together have
	// 4.5 s, which both attempts at a single one share.
	Timeout time.Duration

	// MaxInFlight is the number of different queries that may wait for
	// upstreams at once, for 16 times as many clients. Each takes about 10 KiB.
	// Zero means 1024. A query above it gets SERVFAIL at once: it may be asked
	// again, and waiting in line would only bring the answer after the client
	// has given up. Own names are not concerned.
	MaxInFlight int

	// CacheSize is how many replies of upstreams are remembered, of 4 KiB at most
	// and mostly of less than 300 bytes. Zero means 4096; a negative one, none.
	CacheSize int

	// Self are the names that this process itself asks for through the system's
	// resolver, which may be this Server. An app never asks for them: they do not
	// count as [Usage].
	Self []string

	// Control prepares the sockets of TCP connections to upstreams, as
	// [net.Dialer]'s does. Nil does nothing.
	Control func(network, address string, c syscall.RawConn) error

	// Version is what the canary shows behind "hyco-sidecar ".
	Version string

	// Logger gets a line when an upstream stops or starts answering, one when it
	// leads back here, one when nobody asks, and one for each [Sibling]. Nil
	// discards them.
	Logger *slog.Logger

	// Hooks are called as queries are answered.
	Hooks Hooks

	// Panicked is called on a goroutine that panics, with the panic's value and
	// the goroutine's stack, and ends the process. If it returns, or is nil, the
	// panic takes its course.
	Panicked func(value any, stack []byte)

	dial  func(ctx context.Context, network, address string) (net.Conn, error) // nil means net.Dialer's
	usage atomic.Pointer[usage]                                                // of the last call of Serve
}

// Serve answers the queries that arrive on the given sockets: datagrams on
// packets, TCP connections on listeners. It owns and closes all of them. It
// returns when every goroutine it started has ended: nil after ctx has ended,
// and otherwise the error of the first socket that failed, which ends the
// others too. Queries in flight at that time are given up.
//
// A reply leaves from the address its query was sent to, on Linux also if the
// socket is a [net.UDPConn] bound to a wildcard address.
func (s *Server) Serve(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p := s.proxy()
	p.pool.ctx = serving
	wg := p.flying
	wg.Go(func() {
		defer p.panicked.raise()
		<-serving.Done()
		for _, pc := range packets {
			pc.Close()
		}
		for _, ln := range listeners {
			ln.Close()
		}
	})
	for _, pc := range packets {
		wg.Go(func() {
			defer p.panicked.raise()
			stop(p.serveSocket(serving, pc))
		})
	}
	for _, ln := range listeners {
		wg.Go(func() {
			defer p.panicked.raise()
			stop(p.serveListener(serving, ln))
		})
	}
	for _, u := range p.pool.upstreams {
		wg.Go(func() {
			defer p.panicked.raise()
			p.checkLoop(serving, u)
		})
		wg.Go(func() {
			defer p.panicked.raise()
			p.watch(serving, u)
		})
	}
	wg.Go(func() {
		defer p.panicked.raise()
		p.usage.watch(serving, p.log, s.Hooks.Usage, listenAddresses(packets, listeners))
	})
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(serving)
}

// A proxy is the state of one call of Serve.
type proxy struct {
	own      answerer
	pool     pool
	instance string
	inFlight chan struct{} // one element for each forwarded query
	waiting  atomic.Int64  // clients that wait for these
	visitors visitors
	cache    *cache
	flights  flights
	flying   *sync.WaitGroup // of Serve
	overload episode
	deaf     episode // to TCP clients
	usage    *usage
	siblings *siblings
	log      *slog.Logger
	answered func(Answered)
	dropped  func(Dropped)
	panicked guard
}

func (s *Server) proxy() *proxy {
	log := cmp.Or(s.Logger, slog.New(slog.DiscardHandler))
	running := new(sync.WaitGroup)
	dropped := s.Hooks.Dropped
	if dropped == nil {
		dropped = func(Dropped) {}
	}
	p := &proxy{
		instance: newInstance(),
		inFlight: make(chan struct{}, max(1, cmp.Or(s.MaxInFlight, 1024))),
		visitors: visitors{limit: maxTCPConns},
		cache:    newCache(cmp.Or(s.CacheSize, 4096)),
		flying:   running,
		log:      log,
		answered: s.Hooks.Answered,
		dropped:  dropped,
		panicked: s.Panicked,
		usage:    newUsage(s.Self),
		siblings: newSiblings(s.Table, log, s.Hooks.Sibling),
		pool: pool{
			panicked: s.Panicked,
			epoch:    time.Now(),
			ctx:      context.Background(), // until Serve has one
			timeout:  cmp.Or(s.Timeout, 2*time.Second),
			dial:     s.dial,
			log:      log,
			asked:    s.Hooks.Asked,
			dropped:  dropped,
			running:  running,
		},
	}
	p.own = newAnswerer(s.Table, cmp.Or(s.TTL, 30*time.Second), s.Version, p.instance)
	s.usage.Store(p.usage)
	if p.pool.dial == nil {
		p.pool.dial = (&net.Dialer{Control: s.Control}).DialContext
	}
	for _, addr := range s.Upstreams {
		p.pool.upstreams = append(p.pool.upstreams, newUpstream(addr))
	}
	return p
}

// known appends the reply to q to b, which is empty, if it can be given at once,
// and says what it is; otherwise it returns nil. Key is q's in the cache, appended
// to scratch.
func (p *proxy) known(b []byte, q *query, network string, now time.Time, scratch []byte) (reply []byte, report Answered, key []byte) {
	p.usage.asked(q, now)
	if reply, report := p.own.answer(b, q); reply != nil {
		return reply, report, nil
	}
	key = q.appendKey(scratch)
	r := p.cache.get(key)
	if r == nil {
		return nil, Answered{}, key
	}
	source := SourceCache
	if !r.fresh(now) {
		if !r.usable(now) || !p.pool.silent() {
			return nil, Answered{}, key
		}
		source = SourceStale
	}
	reply = r.append(b, q, now)
	if network == "udp" {
		reply = fit(reply, q.size)
	}
	return reply, Answered{Source: source, Type: Type(q.qtype), Rcode: rcodeOf(reply)}, key
}

// request has q answered by others and its reply sent. Send may be called after
// request has returned; wg waits for that. Q is kept.
func (p *proxy) request(ctx context.Context, wg *sync.WaitGroup, network string, q *query, key []byte, began time.Time, send func([]byte)) {
	done := func(reply []byte, source Source) {
		defer wg.Done()
		defer p.waiting.Add(-1)
		if reply != nil {
			send(reply)
			p.tell(network, began, Answered{Source: source, Type: Type(q.qtype), Rcode: rcodeOf(reply)})
		}
	}
	w := waiter{q, done}
	if network == "tcp" { // where a client can keep send waiting, but not others
		w.done = func(reply []byte, source Source) {
			go func() {
				defer p.panicked.raise()
				done(reply, source)
			}()
		}
	}
	wg.Add(1)
	const clientsPerQuery = 16 // on average
	if p.waiting.Add(1) > clientsPerQuery*int64(cap(p.inFlight)) || !p.depart(ctx, key, network, w) {
		p.overload.tell(ctx, p.log, "DNS queries are refused: too many wait for upstreams", slog.Int("limit", cap(p.inFlight)))
		done(q.serverFailure(dns.ExtendedErrorCodeOther, "too many queries in flight"), SourceRefused)
	}
}

// tell reports a reply that has been sent.
func (p *proxy) tell(network string, began time.Time, report Answered) {
	if p.answered != nil {
		report.Network = network
		report.Took = time.Since(began)
		p.answered(report)
	}
}

package dnsproxy

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
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
	// 4.5 s; if there are so many that this is less than Timeout for each,
	// they share it equally.
	Timeout time.Duration

	// MaxInFlight is the number of forwarded queries that may wait for
	// upstreams at once. Each holds a socket and about 10 KiB, more if its
	// client announces to take more than 4 KiB over UDP. Zero means 1024. A
	// query above it gets SERVFAIL at once: it may be asked again, and waiting
	// in line would only bring the answer after the client has given up. Own
	// names are not concerned.
	MaxInFlight int

	// Version is what the canary shows behind "hyco-sidecar ".
	Version string

	// Logger gets a line when an upstream stops or starts answering, and one
	// when it leads back here. Nil discards them.
	Logger *slog.Logger

	// Hooks are called as queries are answered.
	Hooks Hooks

	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil means net.Dialer's
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
	var wg sync.WaitGroup
	wg.Go(func() {
		<-serving.Done()
		for _, pc := range packets {
			pc.Close()
		}
		for _, ln := range listeners {
			ln.Close()
		}
	})
	for _, pc := range packets {
		read := readerOf(pc)
		for range udpReaders() {
			wg.Go(func() { stop(p.readPackets(serving, &wg, pc, read)) })
		}
	}
	for _, ln := range listeners {
		wg.Go(func() { stop(p.serveListener(serving, &wg, ln)) })
	}
	for _, u := range p.pool.upstreams {
		wg.Go(func() { p.checkLoop(serving, u) })
	}
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
	tcpConns chan struct{} // one element for each accepted connection
	overload episode
	log      *slog.Logger
	answered func(Answered)
}

func (s *Server) proxy() *proxy {
	log := cmp.Or(s.Logger, slog.New(slog.DiscardHandler))
	p := &proxy{
		instance: newInstance(),
		inFlight: make(chan struct{}, max(1, cmp.Or(s.MaxInFlight, 1024))),
		tcpConns: make(chan struct{}, maxTCPConns),
		log:      log,
		answered: s.Hooks.Answered,
		pool: pool{
			timeout: cmp.Or(s.Timeout, 2*time.Second),
			dial:    s.dial,
			log:     log,
			asked:   s.Hooks.Asked,
		},
	}
	p.own = newAnswerer(s.Table, cmp.Or(s.TTL, 30*time.Second), s.Version, p.instance)
	if p.pool.dial == nil {
		p.pool.dial = new(net.Dialer).DialContext
	}
	for _, addr := range s.Upstreams {
		p.pool.upstreams = append(p.pool.upstreams, &upstream{addr: addr})
	}
	return p
}

// serveQuery has one message answered: at once if that needs nobody else, and
// otherwise in a goroutine of wg. It keeps no reference to raw. send writes a
// reply to the client; it may be called after serveQuery has returned.
func (p *proxy) serveQuery(ctx context.Context, wg *sync.WaitGroup, network string, raw []byte, send func([]byte)) {
	start := time.Now()
	finish := func(reply []byte, report Answered) {
		if reply == nil {
			return
		}
		send(reply)
		if p.answered != nil {
			report.Network = network
			report.Took = time.Since(start)
			p.answered(report)
		}
	}
	q := parseQuery(raw)
	if q == nil {
		return
	}
	if reply, report := p.own.answer(nil, q); reply != nil {
		finish(reply, report)
		return
	}
	select {
	case p.inFlight <- struct{}{}:
	default:
		p.overload.tell(ctx, p.log, "DNS queries are refused: too many wait for upstreams", slog.Int("limit", cap(p.inFlight)))
		finish(q.overloaded())
		return
	}
	q = q.clone()
	wg.Go(func() {
		defer func() { <-p.inFlight }()
		finish(p.forward(ctx, q, network))
	})
}

// forward returns the reply to a query that is not ours, in a size the client
// can take; it is nil if ctx has ended.
func (p *proxy) forward(ctx context.Context, q *query, network string) ([]byte, Answered) {
	reply, err := p.pool.forward(ctx, q, network)
	switch {
	case ctx.Err() != nil:
		return nil, Answered{}
	case err != nil:
		reply = q.serverFailure(dns.ExtendedErrorCodeNoReachableAuthority, err.Error())
	case network == "udp":
		reply = fit(reply, q.size)
	}
	return reply, Answered{Source: SourceForwarded, Type: Type(q.qtype), Rcode: rcodeOf(reply)}
}

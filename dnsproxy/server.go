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

	// Timeout is how long one upstream has for its answer. The time over TCP
	// after a truncated answer is part of it. Zero means 2 s. All upstreams
	// together have 4.5 s, which both attempts at a single upstream share.
	Timeout time.Duration

	// MaxInFlight is the number of different queries that may wait for
	// upstreams at once, for 16 times as many clients. Each takes about 10 KiB.
	// Zero means 1024. A query above it gets SERVFAIL at once: it may be asked
	// again, and waiting in line would only bring the answer after the client
	// has given up. Own names are not limited.
	MaxInFlight int

	// CacheSize is how many replies of upstreams are cached, of 4 KiB at most
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

	// Logger gets a line when an upstream stops or starts answering, when one
	// leads back here, when nobody asks, when queries or connections have to be
	// refused, and for each [Sibling]. Nil discards them.
	Logger *slog.Logger

	// Hooks are called as queries are answered.
	Hooks Hooks

	// Guard wraps what runs on each goroutine, for a program that has something to do
	// when one panics. A Guard that recovers a panic ends the process. It is called when
	// a function is about to be started or scheduled, perhaps with locks held, and must
	// not call back. Nil leaves functions as they are.
	Guard func(f func()) func()

	dial  func(ctx context.Context, network, address string) (net.Conn, error) // nil means net.Dialer's
	usage atomic.Pointer[usage]                                                // of the last call of Serve
}

// Serve answers the queries that arrive on the given sockets: datagrams on
// packets, TCP connections on listeners. It owns and closes all of them. It
// returns when every goroutine it started has ended: nil after ctx has ended,
// and otherwise the error of the first socket that failed, which ends the
// others too. Queries that wait for upstreams at that time are given up.
//
// A reply leaves from the address its query was sent to, on Linux also if the
// socket is a [net.UDPConn] bound to a wildcard address.
func (s *Server) Serve(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error {
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p := s.proxy()
	p.pool.ctx = serving
	p.goroutines.Go(p.guarded(func() {
		<-serving.Done()
		for _, pc := range packets {
			pc.Close()
		}
		for _, ln := range listeners {
			ln.Close()
		}
	}))
	for _, pc := range packets {
		p.goroutines.Go(p.guarded(func() { stop(p.serveUDP(serving, pc)) }))
	}
	for _, ln := range listeners {
		p.goroutines.Go(p.guarded(func() { stop(p.serveTCP(serving, ln)) }))
	}
	for _, u := range p.pool.upstreams {
		p.goroutines.Go(p.guarded(func() { p.checkLoop(serving, u) }))
		p.goroutines.Go(p.guarded(func() { p.watch(serving, u) }))
	}
	p.goroutines.Go(p.guarded(func() {
		p.usage.reportUse(serving, p.log, s.Hooks.Usage, listenAddresses(packets, listeners))
	}))
	p.goroutines.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(serving)
}

// guarded returns f as a goroutine is to run it.
func (s *Server) guarded(f func()) func() {
	if s.Guard == nil {
		return f
	}
	return s.Guard(f)
}

// A proxy is the state of one call of Serve.
type proxy struct {
	own      answerer
	cache    *cache
	pending  pending
	pool     pool
	instance string
	usage    *usage
	siblings *siblings

	waitingClients atomic.Int64 // clients whose queries are pending
	tcpClients     tcpClients

	overloaded    rateLimit // of the warning that pending is full
	acceptFailing rateLimit // of the warning that no TCP connection can be accepted

	log        *slog.Logger
	onAnswered func(Answered)  // nil if nobody wants to know
	onDropped  func(Dropped)   // never nil
	goroutines *sync.WaitGroup // all of Serve, and the UDP replies that are due
	guarded    func(f func()) func()
}

// proxy returns the state for a call of Serve.
func (s *Server) proxy() *proxy {
	p := &proxy{
		cache:      newCache(cmp.Or(s.CacheSize, 4096)),
		instance:   newInstance(),
		usage:      newUsage(s.Self),
		pending:    pending{places: make(chan struct{}, max(1, cmp.Or(s.MaxInFlight, 1024)))},
		tcpClients: tcpClients{limit: maxTCPClients},
		log:        cmp.Or(s.Logger, slog.New(slog.DiscardHandler)),
		onAnswered: s.Hooks.Answered,
		onDropped:  s.Hooks.Dropped,
		goroutines: new(sync.WaitGroup),
		guarded:    s.guarded,
	}
	if p.onDropped == nil {
		p.onDropped = func(Dropped) {}
	}
	s.usage.Store(p.usage)
	p.own = newAnswerer(s.Table, cmp.Or(s.TTL, 30*time.Second), s.Version, p.instance)
	p.siblings = newSiblings(s.Table, p.log, s.Hooks.Sibling)
	p.pool = pool{
		epoch:      time.Now(),
		ctx:        context.Background(), // until Serve has one
		timeout:    cmp.Or(s.Timeout, 2*time.Second),
		dial:       s.dial,
		log:        p.log,
		onAsked:    s.Hooks.Asked,
		onDropped:  p.onDropped,
		goroutines: p.goroutines,
		guarded:    p.guarded,
	}
	if p.pool.dial == nil {
		p.pool.dial = (&net.Dialer{Control: s.Control}).DialContext
	}
	for _, addr := range s.Upstreams {
		p.pool.upstreams = append(p.pool.upstreams, newUpstream(addr))
	}
	return p
}

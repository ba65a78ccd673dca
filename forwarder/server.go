package forwarder

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Listener accepts connections that are meant for Target.
type Listener struct {
	net.Listener
	Target string
	// Traffic counts what its connections carry. Nil is not kept.
	Traffic *Traffic
}

// Server joins accepted connections to targets. Its fields are set before Serve.
type Server struct {
	// Dial reaches a target. Required.
	Dial DialFunc
	// NewID makes a connection's id. Required.
	NewID func() string
	// DialTimeout is the whole budget of one dial. Zero means 30 s.
	DialTimeout time.Duration
	// Linger is how long, once one side has ended, the other may stay without
	// sending a byte. Zero means 120 s.
	Linger time.Duration
	// IdleTimeout resets connections without data for so long. Zero means never.
	IdleTimeout time.Duration
	// MaxConnections are open at once; above it each listener holds one accepted
	// connection, and the others wait in the kernel's queue. Zero means 4,096.
	MaxConnections int
	// DrainTimeout is how long open connections may go on once Serve's context
	// has ended. Zero means 25 s.
	DrainTimeout time.Duration
	// AppClosed reports whether the app has closed its end of a connection
	// fully. It is asked after the app's end of stream, which alone may also be
	// a half-close, or while an upload is stuck for Linger, and again until it says
	// yes. errors.ErrUnsupported means that it can never tell, another error that
	// it cannot now. Nil is never asked.
	AppClosed func(app, us netip.AddrPort) (bool, error)
	// Logger receives one line per connection, at its end. Of connections that fail
	// for the same reason within ten seconds the first ten have their line, and one
	// more says how many others there were; at level debug each has its own. Nil
	// discards.
	Logger *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks
	// Guard wraps what runs on each goroutine, for a program that has something to do
	// when one panics. A Guard that recovers a panic ends the process: what f was to
	// give back is lost. It is called when f is about to be started or scheduled, perhaps
	// with locks held, and must not call back; what it returns may run several times, or
	// never. Nil leaves f as it is.
	Guard func(f func()) func()
}

// Serve accepts from listeners until ctx ends. It then still accepts while
// connections are open, so that an app can finish its work, for up to
// DrainTimeout; what is open after that is reset. It owns and closes listeners
// and returns nil once all its goroutines have ended.
func (s *Server) Serve(ctx context.Context, listeners ...Listener) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	call := &serving{
		Server:  s,
		slots:   make(chan struct{}, s.maxConnections()),
		dialers: dialers{jobs: make(chan func()), over: running.Done(), guarded: s.guarded},
		repeats: newRepeats(s.logger(), s.guarded),
	}
	var loops sync.WaitGroup
	for _, ln := range listeners {
		loops.Go(s.guarded(func() { call.accept(running, ln) }))
	}

	<-ctx.Done()
	call.drain()
	for _, ln := range listeners {
		ln.Close()
	}
	stop()
	loops.Wait()
	call.conns.Wait()
	call.dialers.workers.Wait()
	call.repeats.end()
	return nil
}

// serving is one call of Serve.
type serving struct {
	*Server
	slots   chan struct{} // one per connection that is dialled or open
	full    sync.Once     // logs the first connection that has to wait
	dialers dialers
	repeats *repeats
	conns   sync.WaitGroup

	mu   sync.Mutex
	open int           // connections accepted and not ended, those that wait for a slot too
	idle chan struct{} // closed when open falls to 0; nil when nobody waits
}

// drain returns when no connection is open or DrainTimeout is over.
func (s *serving) drain() {
	timeout := time.NewTimer(s.drainTimeout())
	defer timeout.Stop()
	select {
	case <-s.whenIdle():
	case <-timeout.C:
	}
}

// countOpened counts a connection that was accepted.
func (s *serving) countOpened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
}

// countClosed counts a connection that has ended.
func (s *serving) countClosed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.open == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// whenIdle returns a channel that is closed at the next moment without an open
// connection.
func (s *serving) whenIdle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := s.idle
	if idle == nil {
		idle = make(chan struct{})
		if s.open == 0 {
			close(idle)
		} else {
			s.idle = idle
		}
	}
	return idle
}

func (s *Server) dialTimeout() time.Duration  { return orDefault(s.DialTimeout, 30*time.Second) }
func (s *Server) linger() time.Duration       { return orDefault(s.Linger, 120*time.Second) }
func (s *Server) drainTimeout() time.Duration { return orDefault(s.DrainTimeout, 25*time.Second) }
func (s *Server) maxConnections() int         { return orDefault(s.MaxConnections, 4096) }

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

func (s *Server) limits() limits {
	return limits{
		dial:   s.dialTimeout(),
		linger: min(s.linger(), forever),
		idle:   min(max(0, s.IdleTimeout), forever),
		asks:   s.AppClosed != nil,
	}
}

// forever is a time-out that nobody meets, and can be added to a time since a join.
const forever = never / 2

// guarded returns f as it runs on a goroutine of its own.
func (s *Server) guarded(f func()) func() {
	if s.Guard == nil {
		return f
	}
	return s.Guard(f)
}

func (s *Server) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.New(slog.DiscardHandler)
}

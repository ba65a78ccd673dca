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
	// MaxConnections are open at once; above it connections wait in the kernel's
	// queue. Zero means 4,096.
	MaxConnections int
	// DrainTimeout is how long open connections may go on once Serve's context
	// has ended. Zero means 25 s.
	DrainTimeout time.Duration
	// AppClosed reports whether the app has closed its end of a connection
	// fully. It is asked after the app's end of stream, which alone may also be
	// a half-close, and again until it says yes. errors.ErrUnsupported means that
	// it can never tell, another error that it cannot now. Nil is never asked.
	AppClosed func(app, us netip.AddrPort) (bool, error)
	// Logger receives one line per connection, at its end. Of connections that fail
	// for the same reason within ten seconds the first ten have their line, and one
	// more says how many others there were; at level debug each has its own. Nil
	// discards.
	Logger *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks
	// Guard wraps what runs on each goroutine: the function it returns is what the
	// goroutine runs, and may recover from f's panic. Nil leaves f as it is.
	Guard func(f func()) func()
}

// Serve accepts from listeners until ctx ends. It then still accepts while
// connections are open, so that an app can finish its work, for up to
// DrainTimeout; what is open after that is reset. It owns and closes listeners
// and returns nil once all its goroutines have ended.
func (s *Server) Serve(ctx context.Context, listeners ...Listener) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	run := &run{
		Server:  s,
		slots:   make(chan struct{}, s.maxConnections()),
		dialers: dialers{jobs: make(chan func()), over: serving.Done(), guarded: s.guarded},
		repeats: newRepeats(s.logger(), s.guarded),
	}
	var loops sync.WaitGroup
	for _, ln := range listeners {
		loops.Go(s.guarded(func() { run.accept(serving, ln) }))
	}

	<-ctx.Done()
	run.drain()
	for _, ln := range listeners {
		ln.Close()
	}
	stop()
	loops.Wait()
	run.conns.Wait()
	run.dialers.workers.Wait()
	run.repeats.end()
	return nil
}

// run is one call of Serve.
type run struct {
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
func (r *run) drain() {
	timeout := time.NewTimer(r.drainTimeout())
	defer timeout.Stop()
	select {
	case <-r.whenIdle():
	case <-timeout.C:
	}
}

// countOpened counts a connection that was accepted.
func (r *run) countOpened() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
}

// countClosed counts a connection that has ended.
func (r *run) countClosed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	if r.open == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// whenIdle returns a channel that is closed at the next moment without an open
// connection.
func (r *run) whenIdle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	idle := r.idle
	if idle == nil {
		idle = make(chan struct{})
		if r.open == 0 {
			close(idle)
		} else {
			r.idle = idle
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
	return limits{dial: s.dialTimeout(), linger: s.linger(), idle: max(0, s.IdleTimeout), asks: s.AppClosed != nil}
}

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

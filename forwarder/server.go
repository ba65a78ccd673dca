package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// DialFunc opens the remote half of one connection. The returned connection
// should have a CloseWrite method; without one the target does not learn that
// the app has ended its stream. Closing it without CloseWrite must look like a
// connection that broke off. The error may have a LogAttrs() []slog.Attr method
// whose attributes join the connection's log line. What its Reason() string method
// returns, one of a fixed set of labels, tells failures apart that repeat.
type DialFunc func(ctx context.Context, req Request) (net.Conn, error)

// Request says what to dial.
type Request struct {
	// Target is that of the Listener that accepted the connection.
	Target string
	// ID is the connection's id, as it stands in the log.
	ID string
	// Last is closed when the app has ended without a byte: a dial may finish
	// what it is doing but not try again.
	Last <-chan struct{}
}

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
	// Logger receives one line per connection, at its end, but of those that fail
	// alike ten in ten seconds and then their number; at level debug, one of each.
	// Nil discards.
	Logger *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks
	// Guard wraps what runs on each goroutine, so that the caller can recover from
	// its panics. Nil leaves it as it is.
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
	full    sync.Once     // tells about the first connection that has to wait
	dialers dialers
	repeats *repeats
	conns   sync.WaitGroup

	mu   sync.Mutex
	open int
	idle chan struct{} // closed when open falls to 0; nil when nobody waits
}

// The pauses after an accept failed: descriptors come back soon or not at all.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
	// acceptSettled is how long accept has to work before a failure is over: while
	// descriptors are scarce, each that comes back is taken at once.
	acceptSettled = 10 * time.Second
)

// accept serves ln until it is closed.
func (r *run) accept(ctx context.Context, ln Listener) {
	var pause time.Duration
	var failed time.Time // when accept last failed, until that has passed
	var late int         // how many more may have waited long for a slot
	for {
		app, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if failed.IsZero() {
				r.logger().LogAttrs(ctx, slog.LevelError, "accept fails, trying on",
					slog.String("endpoint", ln.Target), slog.Any("error", err), slog.String("next", acceptRemedy(err)))
			}
			failed = time.Now()
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			if !sleep(ctx, pause) {
				return
			}
			continue
		}
		pause = 0
		if !failed.IsZero() && time.Since(failed) >= acceptSettled {
			failed = time.Time{}
			r.logger().LogAttrs(ctx, slog.LevelInfo, "accept works again", slog.String("endpoint", ln.Target))
		}
		accepted := time.Now()
		prepare(app)
		r.began()
		c := newConn(r, app, ln, accepted)
		waited, reserved := r.reserve(ctx, ln.Target)
		if !reserved {
			c.turnAway(ctx)
			return
		}
		if waited {
			late = acceptQueue
		}
		c.late = late > 0
		late = max(0, late-1)
		r.conns.Add(1)
		r.dialers.run(func() { c.serve(ctx) })
	}
}

// acceptQueue is how many connections the kernel keeps for us to accept, where
// nobody has changed that: net.core.somaxconn.
const acceptQueue = 4096

// acceptRemedy is what to do about an accept that failed.
func acceptRemedy(err error) string {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return "raise the limit of open files (ulimit -n): a connection takes two"
	}
	return "none, if it passes: connections wait in the kernel's queue meanwhile"
}

// reserve takes a slot, waiting while all are taken, unless ctx ends first.
func (r *run) reserve(ctx context.Context, target string) (waited, reserved bool) {
	select {
	case r.slots <- struct{}{}:
		return false, true
	default:
	}
	r.full.Do(func() {
		r.logger().LogAttrs(ctx, slog.LevelWarn, "connections have to wait: the limit is reached",
			slog.Int("limit", cap(r.slots)), slog.String("endpoint", target),
			slog.String("next", "raise HYCO_MAX_CONNECTIONS, or find out who keeps so many open"))
	})
	select {
	case r.slots <- struct{}{}:
		return true, true
	case <-ctx.Done():
		return true, false
	}
}

// drain returns when no connection is open or DrainTimeout is over.
func (r *run) drain() {
	timeout := time.NewTimer(r.drainTimeout())
	defer timeout.Stop()
	select {
	case <-r.allEnded():
	case <-timeout.C:
	}
}

func (r *run) began() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
}

func (r *run) ended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	if r.open == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// allEnded returns a channel that is closed at the next moment without an open
// connection.
func (r *run) allEnded() <-chan struct{} {
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

// sleep pauses for d and reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
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

package forwarder

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pipe joins an app's connection to its remote half. Two goroutines copy, one
// per direction; a timer watches over silence. Each direction ends by its own;
// what ends both is told once, by whoever meets it first.
type pipe struct {
	*Server
	traffic *Traffic // of the listener
	app     net.Conn
	from    *reader // of app
	remote  net.Conn
	before  early // what the app did before that, until it is passed on
	joined  time.Time

	pieces   atomic.Uint64 // begun upwards and done, both counted: odd while one is being written
	watched  atomic.Bool   // stall runs
	stall    *time.Timer   // runs while pieces move
	looked   uint64        // pieces, when stall last fired
	up, down atomic.Int64  // bytes delivered
	arriveBy atomic.Int64  // when what was sent upwards has arrived, at slowest; in nanoseconds after joined
	active   atomic.Int64  // when a byte last moved, the same

	delivery sync.Mutex // held while a piece is written to the app, and its failure is acted on

	mu          sync.Mutex
	appEnded    bool  // the app ended its stream
	appRefuses  bool  // and takes nothing more
	told        bool  // the remote side knows that it ended
	upErr       error // the remote side no longer takes the app's stream
	unsent      bool  // nor has it taken all
	remoteEnded bool  // the remote side ended its stream
	over        bool
	verdict     verdict
	ended       time.Time
	timer       *time.Timer   // nil until something can become due
	askIn       time.Duration // until AppClosed is asked next, 0 when it cannot be
	goneAt      time.Time     // when the app was found to have closed fully
}

// run copies until both directions have ended, closes both connections, and
// leaves its verdict.
func (p *pipe) run(ctx context.Context) {
	unhook := context.AfterFunc(ctx, func() {
		defer guard(p.Panicked).raise()
		p.end(Shutdown, nil)
	})
	defer unhook()
	p.schedule()

	var upward sync.WaitGroup
	upward.Go(func() {
		defer guard(p.Panicked).raise()
		p.copyUp()
	})
	p.copyDown()
	upward.Wait()
	p.conclude()
}

// conclude settles how it ended where nothing has ended it before.
func (p *pipe) conclude() {
	p.mu.Lock()
	v := p.parted()
	p.mu.Unlock()
	if v.cause == RemoteClosed {
		p.discard()
	}
	p.end(v.cause, v.err)
}

// parted is how it ended, both directions having ended by themselves. The caller
// holds mu.
func (p *pipe) parted() verdict {
	switch {
	case p.upErr != nil && p.remoteReadsOn():
		return verdict{TunnelDropped, p.upErr} // it had said that it would take more
	case p.unsent:
		return verdict{RemoteClosed, p.upErr}
	case p.appRefuses:
		return verdict{AppGone, nil}
	}
	return verdict{Closed, nil}
}

// discard takes what the app still sends to a remote side that has closed fully.
// Closing with it unread would reset the app, and the reset would overtake the
// answer that the app is still reading.
func (p *pipe) discard() {
	_ = p.app.SetReadDeadline(time.Now().Add(min(p.linger(), 30*time.Second)))
	_, _ = io.Copy(io.Discard, p.app)
}

// copyUp carries the app's stream to the remote side, beginning with what was
// read during the dial.
func (p *pipe) copyUp() {
	p.watched.Store(true)
	p.stall = time.AfterFunc(stallCheck, func() {
		defer guard(p.Panicked).raise()
		p.checkStall()
	})
	defer p.stall.Stop()
	if len(p.before.data) > 0 && !p.send(p.before.data) {
		return
	}
	p.before.data = nil
	if p.before.eof {
		p.closeUpward()
		return
	}
	for {
		data, err := p.from.read()
		sent := len(data) == 0 || p.send(data)
		p.from.done()
		if !sent {
			return
		}
		switch {
		case err == io.EOF && p.endWasAReset():
			return
		case err == io.EOF:
			p.closeUpward()
			return
		case err != nil:
			p.end(AppReset, nil)
			return
		}
	}
}

// endWasAReset tells a reset from the app's end of stream. The kernel gives a
// socket's error once: when a write of the other direction has taken the reset,
// reads find an end. A connection that is no more then has to await that write,
// which is over or about to be, and has ended everything.
func (p *pipe) endWasAReset() bool {
	if !p.from.disconnected() {
		return false
	}
	p.delivery.Lock()
	defer p.delivery.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// send writes one piece of the app's stream. When the remote side takes no more,
// the verdict is left to the other direction: what still arrives there says
// whether the tunnel broke or the far end closed fully, and is not cut off.
func (p *pipe) send(data []byte) bool {
	p.pieces.Add(1)
	if !p.watched.Swap(true) {
		p.stall.Reset(stallCheck)
	}
	n, err := p.remote.Write(data)
	p.pieces.Add(1)
	p.up.Add(int64(n))
	p.traffic.sent(n)
	p.touch()
	now := time.Since(p.joined)
	by := max(now, time.Duration(p.arriveBy.Load())) + time.Duration(n)*time.Second/slowest
	p.arriveBy.Store(int64(min(by, now+maxUnderWay*time.Second/slowest)))
	if err != nil {
		p.mu.Lock()
		p.upErr, p.unsent = err, true
		p.mu.Unlock()
		p.schedule()
	}
	return err == nil
}

// stallCheck is how often an upload that does not progress looks after the app.
const stallCheck = 5 * time.Second

// checkStall runs while pieces move upwards, and looks for one that has not moved
// since it last ran. Nobody reads from the app then, so nobody would notice that
// it has reset, which an empty write does, or that it has closed fully; what it
// left is then given Linger to move on.
func (p *pipe) checkStall() {
	pieces := p.pieces.Load()
	moved := pieces != p.looked
	p.looked = pieces
	if pieces%2 == 0 && !moved {
		p.watched.Store(false)
		if p.pieces.Load() == pieces || p.watched.Swap(true) {
			return // the next piece sets the timer again
		}
	}
	if !moved && pieces%2 == 1 && p.stalled() {
		return
	}
	p.stall.Reset(stallCheck)
}

// stalled looks after the app of a write that takes long, and reports whether it
// has ended the connection.
func (p *pipe) stalled() bool {
	switch {
	case p.meetReset():
		return true
	case p.silence() >= p.linger() && p.appHasClosed():
		p.end(AppGone, nil)
		return true
	}
	return false
}

// meetReset ends the connection where the app has reset it, which nobody who reads
// from the app would learn any more: see endWasAReset.
func (p *pipe) meetReset() bool {
	if !p.delivery.TryLock() {
		return false // a delivery waits, which meets a reset itself; this would wait behind it
	}
	defer p.delivery.Unlock()
	p.mu.Lock()
	remoteEnded := p.remoteEnded
	p.mu.Unlock()
	// Once we have ended our direction too, the kernel calls it a reset even if the
	// app's end came before; what has come is still to be read, and will tell.
	if remoteEnded || !hasReset(p.app) {
		return false
	}
	p.end(AppReset, nil)
	return true
}

// hasReset reports whether the app has reset the connection, or it broke off, also
// where nobody reads what it had sent before: an empty write meets that, and takes
// it from whoever asks next, who must not go on. A broken pipe is another matter:
// the app's end of stream came before, see undelivered.
func hasReset(app net.Conn) bool {
	_, err := app.Write(nil)
	return err != nil && !errors.Is(err, syscall.EPIPE)
}

// appHasClosed reports whether it is certain that the app has closed fully.
func (p *pipe) appHasClosed() bool {
	if p.from.disconnected() {
		return true
	}
	closed, err := p.appClosed(p.app)
	return closed && err == nil
}

// closeUpward passes the app's end of stream on. That it has ended stands before
// the remote side can answer.
func (p *pipe) closeUpward() {
	p.touch()
	p.mu.Lock()
	p.appEnded = true
	p.mu.Unlock()
	p.schedule()

	var err error
	if w, ok := p.remote.(interface{ CloseWrite() error }); ok {
		err = w.CloseWrite()
	}
	p.touch()
	p.mu.Lock()
	p.upErr, p.told, p.askIn = err, true, firstAsk
	if p.appRefuses {
		p.goneAt = time.Now() // what was refused came while this was on its way
	}
	p.mu.Unlock()
	p.schedule()
}

// copyDown carries the remote side's stream to the app. When the app takes no more,
// it reads on for the end: what the app left behind may still be on its way up.
func (p *pipe) copyDown() {
	from := newReader(p.remote)
	for delivers := true; ; {
		data, err := from.read()
		if len(data) > 0 && delivers {
			delivers = p.deliver(data)
		}
		from.done()
		switch {
		case err == io.EOF:
			p.closeDownward()
			return
		case err != nil:
			p.end(TunnelDropped, err) // even if the app has gone: what it sent may be lost
			return
		}
	}
}

// deliver writes one piece of the remote side's stream.
func (p *pipe) deliver(data []byte) bool {
	p.delivery.Lock()
	defer p.delivery.Unlock()
	n, err := p.app.Write(data)
	p.down.Add(int64(n))
	p.traffic.delivered(n)
	p.touch()
	if err != nil {
		p.undelivered(err)
	}
	return err == nil
}

// undelivered judges an app that takes no more. Where it had ended its stream
// before, even if that end has yet to be read, the kernel calls it a broken pipe,
// and what it sent goes on as if there were nobody in between.
func (p *pipe) undelivered(err error) {
	p.mu.Lock()
	ended := p.appEnded || errors.Is(err, syscall.EPIPE)
	p.mu.Unlock()
	if ended {
		p.refused()
	} else {
		p.end(AppReset, nil)
	}
}

// refused notes that the app has closed fully and takes nothing more.
func (p *pipe) refused() {
	p.mu.Lock()
	p.appRefuses = true
	if p.goneAt.IsZero() {
		p.goneAt = time.Now()
	}
	p.mu.Unlock()
	p.schedule()
}

// closeDownward passes the remote side's end of stream on. An end without a
// single byte, while the app waits, is how a listener that could not reach its
// target looks, unless it said that it only ends its own direction.
func (p *pipe) closeDownward() {
	p.touch()
	p.mu.Lock()
	appWaits := !p.appEnded && !p.appRefuses
	p.remoteEnded = true
	p.mu.Unlock()
	if appWaits && p.down.Load() == 0 && !p.remoteReadsOn() && !p.targetReached() {
		if time.Since(p.joined) <= p.dialTimeout() {
			p.end(TargetUnreachable, nil)
		} else {
			p.end(ClosedWithoutData, nil)
		}
		return
	}
	if w, ok := p.app.(interface{ CloseWrite() error }); ok && w.CloseWrite() != nil {
		p.refused() // nor has it read what was left; a plain reset is met by copyUp
	}
	p.schedule()
}

// targetReached reports whether the remote side said that its target answers: an
// empty stream is then the target's.
func (p *pipe) targetReached() bool {
	r, ok := p.remote.(interface{ Reached() bool })
	return ok && r.Reached()
}

// remoteReadsOn reports whether the remote side said that it ends its own
// direction only.
func (p *pipe) remoteReadsOn() bool {
	h, ok := p.remote.(interface{ HalfClosed() bool })
	return ok && h.HalfClosed()
}

// end closes both connections; the first cause given stands.
func (p *pipe) end(cause Cause, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	p.verdict, p.ended = verdict{cause, err}, time.Now()
	if p.timer != nil {
		p.timer.Stop()
	}
	if cause == Closed || cause == RemoteClosed || cause == Lingered && p.remoteEnded {
		// The app has its end of stream; what it still sends meets a reset by itself.
		closeOrderly(p.app)
	} else {
		reset(p.app)
	}
	p.remote.Close() // after an orderly end this waits for the relay
}

func (p *pipe) touch() { p.active.Store(int64(time.Since(p.joined))) }

// silence is how long no byte has moved.
func (p *pipe) silence() time.Duration {
	return time.Since(p.joined) - time.Duration(p.active.Load())
}

// The pauses between questions whether the app has closed fully. The first is
// short, for most apps do both at once, but not zero: the end of stream arrives
// before close has returned.
const (
	firstAsk = 50 * time.Millisecond
	maxAsk   = 5 * time.Second
	// goneGrace is how long the remote side has to answer our Close once the app
	// has gone. A Hybrid Connection Manager does not until its target ends too.
	goneGrace = 2 * time.Second
	// An app that sends a lot and closes leaves it in buffers all along the way,
	// up to 16 MiB in the relay alone, and dropping the tunnel may cost it. So the
	// grace begins when the way, at the least that it may carry per second, is
	// empty.
	slowest     = 256 << 10
	maxUnderWay = 32 << 20
)

// graceLeft is how long the tunnel still stays, the app having gone at goneAt.
func (p *pipe) graceLeft() time.Duration {
	arrived := p.joined.Add(time.Duration(p.arriveBy.Load()))
	if arrived.Before(p.goneAt) {
		arrived = p.goneAt
	}
	return time.Until(arrived.Add(goneGrace))
}

// schedule sets the timer to the next moment at which something may be due.
func (p *pipe) schedule() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	const never = time.Duration(math.MaxInt64)
	due := never
	switch {
	case p.halfDone():
		due = p.linger() - p.silence()
		if p.onItsWay() {
			due = min(due, p.graceLeft())
		} else if p.canAsk() {
			due = min(due, p.askIn)
		}
	case p.IdleTimeout > 0:
		due = p.IdleTimeout - p.silence()
	}
	switch {
	case p.timer != nil:
		p.timer.Reset(due)
	case due != never:
		p.timer = time.AfterFunc(due, func() {
			defer guard(p.Panicked).raise()
			p.tick()
		})
	}
}

// halfDone reports whether one direction has ended. The caller holds mu.
func (p *pipe) halfDone() bool { return p.appEnded || p.upErr != nil || p.remoteEnded }

// onItsWay reports whether all that is left is what an app that has closed fully
// sent, and time for it to arrive. The caller holds mu.
func (p *pipe) onItsWay() bool { return !p.goneAt.IsZero() && (p.told || p.upErr != nil) }

// canAsk reports whether AppClosed has something to say: the app has ended its
// stream and the remote side has not. The caller holds mu.
func (p *pipe) canAsk() bool {
	return p.AppClosed != nil && p.askIn > 0 && p.appEnded && !p.remoteEnded && p.goneAt.IsZero()
}

// tick runs when the timer fires.
func (p *pipe) tick() {
	p.mu.Lock()
	halfDone, ask := p.halfDone(), p.canAsk()
	gone := p.onItsWay() && p.graceLeft() <= 0
	lingered := verdict{Lingered, nil}
	switch {
	case p.upErr != nil && p.remoteEnded:
		lingered = p.parted() // and only the app has not noticed
	case !p.goneAt.IsZero():
		lingered.cause = AppGone
	}
	p.mu.Unlock()

	switch silence := p.silence(); {
	case gone:
		p.end(AppGone, nil)
	case halfDone && silence >= p.linger():
		p.end(lingered.cause, lingered.err)
	case !halfDone && p.IdleTimeout > 0 && silence >= p.IdleTimeout:
		p.end(IdleTimeout, nil)
	case ask:
		p.ask()
	}
	p.schedule()
}

// ask finds out whether the app, which has ended its stream, has closed fully.
// Where nobody can tell, Linger decides.
func (p *pipe) ask() {
	closed, err := p.appClosed(p.app)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.from.disconnected():
		p.goneAt = time.Now() // by a reset, after which there is no socket to ask about
	case errors.Is(err, errors.ErrUnsupported):
		p.askIn = 0
	case closed && err == nil:
		p.goneAt = time.Now()
	default:
		p.askIn = min(2*p.askIn, maxAsk)
	}
}

// appClosed asks AppClosed about an accepted connection.
func (s *Server) appClosed(app net.Conn) (closed bool, err error) {
	if s.AppClosed == nil {
		return false, errors.ErrUnsupported
	}
	return s.AppClosed(addrPort(app.RemoteAddr()), addrPort(app.LocalAddr()))
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		a := tcp.AddrPort()
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return netip.AddrPort{}
}

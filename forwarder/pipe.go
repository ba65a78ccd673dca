package forwarder

import (
	"context"
	"errors"
	"io"
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

	mu    sync.Mutex
	ends  ends
	timer *time.Timer // nil until something can become due
}

// run copies until both directions have ended, closes both connections, and
// returns why and when the connection was over.
func (p *pipe) run(ctx context.Context) (v verdict, ended time.Time) {
	unhook := context.AfterFunc(ctx, p.guarded(func() { p.note(onShutdown, nil) }))
	defer unhook()
	p.mu.Lock()
	p.scheduleLocked()
	p.mu.Unlock()

	var upward sync.WaitGroup
	upward.Go(p.guarded(p.copyUp))
	p.copyDown()
	upward.Wait()
	p.conclude()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends.verdict, p.joined.Add(p.ends.endedAt)
}

// conclude ends a connection both of whose directions have ended by themselves.
func (p *pipe) conclude() {
	p.mu.Lock()
	remoteClosed := !p.ends.over() && p.ends.outcome().cause == RemoteClosed
	p.mu.Unlock()
	if remoteClosed {
		p.discard()
	}
	p.note(onBothCopied, nil)
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
	p.stall = time.AfterFunc(stallCheck, p.guarded(p.checkStall))
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
			p.note(onAppReset, nil)
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
	return p.ends.over()
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
	now := p.now()
	by := max(now, time.Duration(p.arriveBy.Load())) + time.Duration(n)*time.Second/slowest
	p.arriveBy.Store(int64(min(by, now+maxUnderWay*time.Second/slowest)))
	if err != nil {
		p.note(onUnsent, err)
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
		p.note(onStallAbandoned, nil)
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
	remoteEnded := p.ends.down != downOpen
	p.mu.Unlock()
	// Once we have ended our direction too, the kernel calls it a reset even if the
	// app's end came before; what has come is still to be read, and will tell.
	if remoteEnded || !hasReset(p.app) {
		return false
	}
	p.note(onAppReset, nil)
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
	p.note(onAppEnd, nil)
	var err error
	if w, ok := p.remote.(interface{ CloseWrite() error }); ok {
		err = w.CloseWrite()
	}
	p.touch()
	if err != nil {
		p.note(onEndUntold, err)
	} else {
		p.note(onEndTold, nil)
	}
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
			p.note(onTunnelBreak, err)
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
	if errors.Is(err, syscall.EPIPE) {
		p.note(onAppRefusal, nil)
	} else {
		p.note(onAppWriteError, nil)
	}
}

// closeDownward passes the remote side's end of stream on. An end without a
// single byte, while the app waits, is how a listener that could not reach its
// target looks, unless it said that it only ends its own direction.
func (p *pipe) closeDownward() {
	p.touch()
	what := onRemoteClose
	switch {
	case p.remoteReadsOn():
		what = onRemoteHalfClose
	case p.down.Load() == 0 && !p.targetReached():
		what = onRemoteCloseUnused
	}
	if p.note(what, nil) != doWait {
		return
	}
	if w, ok := p.app.(interface{ CloseWrite() error }); ok && w.CloseWrite() != nil {
		p.note(onAppRefusal, nil) // nor has it read what was left; a plain reset is met by copyUp
	}
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

// note tells ends what happened, and does what follows. It returns what that was.
func (p *pipe) note(what event, err error) action {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.noteLocked(what, err)
}

func (p *pipe) noteLocked(what event, err error) (do action) {
	p.ends, do = p.ends.after(what, p.now(), err)
	switch do {
	case doWait:
		p.scheduleLocked()
	case doEnd:
		p.closeLocked(closeOrderly)
	case doReset:
		p.closeLocked(reset)
	}
	return do
}

// closeLocked closes both connections.
func (p *pipe) closeLocked(closeApp func(net.Conn)) {
	if p.timer != nil {
		p.timer.Stop()
	}
	closeApp(p.app)
	p.remote.Close() // after an orderly end this waits for the relay
}

// now is the time since the join, in which everything here is counted.
func (p *pipe) now() time.Duration { return time.Since(p.joined) }

func (p *pipe) touch() { p.active.Store(int64(p.now())) }

// silence is how long no byte has moved.
func (p *pipe) silence() time.Duration {
	return p.now() - time.Duration(p.active.Load())
}

const (
	// An app that sends a lot and closes leaves it in buffers all along the way,
	// up to 16 MiB in the relay alone, and dropping the tunnel may cost it. So the
	// grace begins when the way, at the least that it may carry per second, is
	// empty.
	slowest     = 256 << 10
	maxUnderWay = 32 << 20
)

// scheduleLocked sets the timer to the next moment at which something may be due.
func (p *pipe) scheduleLocked() {
	at, _ := p.nextLocked()
	switch {
	case at == never: // and there is no timer, or it was stopped
	case p.timer != nil:
		p.timer.Reset(at - p.now())
	default:
		p.timer = time.AfterFunc(at-p.now(), p.guarded(p.tick))
	}
}

func (p *pipe) nextLocked() (at time.Duration, what event) {
	return p.ends.next(time.Duration(p.active.Load()), time.Duration(p.arriveBy.Load()))
}

// tick runs when the timer fires.
func (p *pipe) tick() {
	if p.noteDue() == doAsk {
		p.note(p.ask(), nil)
	}
}

// noteDue notes what is due, or sets the timer anew where bytes have moved since it
// was set.
func (p *pipe) noteDue() action {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, what := p.nextLocked()
	if at > p.now() {
		p.scheduleLocked()
		return doWait
	}
	return p.noteLocked(what, nil)
}

// ask finds out whether the app, which has ended its stream, has closed fully.
// Where nobody can tell, Linger decides.
func (p *pipe) ask() event {
	closed, err := p.appClosed(p.app)
	switch {
	case p.from.disconnected(): // by a reset, after which there is no socket to ask about
		return onAppFoundClosed
	case errors.Is(err, errors.ErrUnsupported):
		return onAppUnknown
	case closed && err == nil:
		return onAppFoundClosed
	}
	return onAppFoundOpen
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

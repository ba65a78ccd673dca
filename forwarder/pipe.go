package forwarder

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pipe joins an app's connection to its remote half. Two goroutines copy, one per
// direction, and each direction ends on its own. What ends both is recorded once;
// the first cause wins.
type pipe struct {
	*Server
	traffic *Traffic // of the listener
	app     net.Conn
	from    *reader // of app
	remote  net.Conn
	early   early // what the app sent or did during the dial; empty once forwarded
	joined  time.Time

	stall    stallWatch
	up, down atomic.Int64 // bytes delivered
	active   atomic.Int64 // when a byte last moved, in nanoseconds after joined
	// arriveBy is the latest time by which all bytes sent upwards should have
	// arrived, at slowest bytes per second; in nanoseconds after joined.
	arriveBy atomic.Int64

	delivery sync.Mutex // held while a piece is written to the app, and its failure is acted on

	mu    sync.Mutex
	ends  ends
	timer *time.Timer // fires when something is due; nil until something can be
}

func newPipe(s *Server, traffic *Traffic, from *reader, remote net.Conn, early early) *pipe {
	return &pipe{
		Server:  s,
		traffic: traffic,
		app:     from.conn,
		from:    from,
		remote:  remote,
		early:   early,
		joined:  time.Now(),
		ends:    ends{limits: s.limits()},
	}
}

// run copies until both directions have ended, closes both connections, and
// returns why and when the connection was over.
func (p *pipe) run(ctx context.Context) (v verdict, ended time.Time) {
	unhook := context.AfterFunc(ctx, p.guarded(func() { p.note(onShutdown, nil) }))
	defer unhook()
	p.schedule()

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
	p.stall.begin(time.AfterFunc(stallCheck, p.guarded(p.checkStall)))
	defer p.stall.end()
	if len(p.early.data) > 0 && !p.send(p.early.data) {
		return
	}
	p.early.data = nil
	if p.early.eof {
		p.closeUpward()
		return
	}
	for {
		data, err := p.from.read()
		sent := len(data) == 0 || p.send(data)
		p.from.giveBack()
		if !sent {
			return
		}
		switch {
		case isEnd(err) && p.endWasAReset():
			return
		case isEnd(err):
			p.closeUpward()
			return
		case err != nil:
			p.note(onAppReset, nil)
			return
		}
	}
}

// An app that sends a lot and closes leaves it in buffers all along the way, up to
// 16 MiB in the relay alone, and dropping the tunnel may cost it. So the grace for
// an app that has left begins when the way is empty, at the least that it may carry.
const (
	slowest     = 256 << 10 // bytes per second
	maxUnderWay = 32 << 20  // bytes: more is not waited for
)

// send writes one piece of the app's stream. When the remote side takes no more,
// the verdict is left to the other direction: what still arrives there says
// whether the tunnel broke or the far end closed fully, and is not cut off.
func (p *pipe) send(data []byte) bool {
	p.stall.beginPiece()
	n, err := p.remote.Write(data)
	p.stall.endPiece()
	p.up.Add(int64(n))
	p.traffic.addUp(n)
	p.touch()
	now := p.now()
	by := max(now, time.Duration(p.arriveBy.Load())) + time.Duration(n)*time.Second/slowest
	p.arriveBy.Store(int64(min(by, now+maxUnderWay*time.Second/slowest)))
	if err != nil {
		p.note(onRemoteWriteError, err)
	}
	return err == nil
}

// closeUpward passes the app's end of stream on. It is noted before the remote side
// can answer.
func (p *pipe) closeUpward() {
	p.touch()
	p.note(onAppEnd, nil)
	var err error
	if remote, ok := p.remote.(HalfCloser); ok {
		err = remote.CloseWrite()
	}
	p.touch()
	if err != nil {
		p.note(onEndNotTold, err)
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
		from.giveBack()
		switch {
		case isEnd(err):
			p.closeDownward()
			return
		case err != nil:
			p.note(onRemoteReadError, err)
			return
		}
	}
}

// deliver writes one piece of the remote side's stream to the app. Where the app had
// ended its stream before, even if that end has yet to be read, the kernel calls the
// failure a broken pipe, and what the app sent goes on as if there were nobody in
// between.
func (p *pipe) deliver(data []byte) bool {
	p.delivery.Lock()
	defer p.delivery.Unlock()
	n, err := p.app.Write(data)
	p.down.Add(int64(n))
	p.traffic.addDown(n)
	p.touch()
	switch {
	case err == nil:
		return true
	case errors.Is(err, syscall.EPIPE):
		p.note(onAppRefusal, nil)
	default:
		p.note(onAppWriteError, nil)
	}
	return false
}

// endWasAReset reports whether the end of stream that a read has just met was a reset
// in truth. The kernel reports a reset once: where a write to the app has taken it, the
// next read returns an end of stream. So once the connection is gone, endWasAReset
// waits for that write and asks whether it ended the pipe. After a true end of stream
// that write gets EPIPE and does not end the pipe.
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

// closeDownward passes the remote side's end of stream on.
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
	if app, ok := p.app.(HalfCloser); ok && app.CloseWrite() != nil {
		p.note(onAppRefusal, nil) // it has not read what was left; copyUp meets a plain reset
	}
}

// targetReached reports whether the remote side said that its target answers: an
// empty stream is then the target's.
func (p *pipe) targetReached() bool {
	remote, ok := p.remote.(TargetTeller)
	return ok && remote.Reached()
}

// remoteReadsOn reports whether the remote side said that it ends its own
// direction only.
func (p *pipe) remoteReadsOn() bool {
	remote, ok := p.remote.(EndTeller)
	return ok && remote.HalfClosed()
}

// note tells ends what happened, and does what follows. It returns what that was.
func (p *pipe) note(what event, err error) action {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.noteLocked(what, p.now(), err)
}

func (p *pipe) noteLocked(what event, now time.Duration, err error) action {
	do := p.ends.record(what, now, err)
	switch do {
	case doWait:
		p.scheduleLocked(now)
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

// touch notes that a byte or an end of stream has moved.
func (p *pipe) touch() { p.active.Store(int64(p.now())) }

// now is the time since the join, from which everything in a pipe is counted.
func (p *pipe) now() time.Duration { return time.Since(p.joined) }

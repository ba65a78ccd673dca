package forwarder

import (
	"sync/atomic"
	"time"
)

// stallCheck is how often an upload that does not progress checks whether the app is
// still there.
const stallCheck = 5 * time.Second

// stallWatch runs a check every stallCheck while pieces move upwards, and finds one
// that does not progress. It costs a piece two atomic operations and no lock.
type stallWatch struct {
	pieces  atomic.Uint64 // incremented before and after each upward write: odd while one is in progress
	running atomic.Bool   // timer is set, or the check runs
	timer   *time.Timer
	seen    uint64 // pieces, when timer last fired
}

// begin takes the timer that runs the check, set to stallCheck. The check calls look,
// and again unless there is nothing to look for.
func (w *stallWatch) begin(timer *time.Timer) {
	w.running.Store(true)
	w.timer = timer
}

func (w *stallWatch) end() { w.timer.Stop() }

func (w *stallWatch) beginPiece() {
	w.pieces.Add(1)
	if !w.running.Swap(true) {
		w.timer.Reset(stallCheck)
	}
}

func (w *stallWatch) endPiece() { w.pieces.Add(1) }

// look reports whether a piece has been in progress since the last look, or that
// there has been none, in which case the next piece sets the timer.
func (w *stallWatch) look() (stuck, idle bool) {
	pieces := w.pieces.Load()
	moved := pieces != w.seen
	w.seen = pieces
	if pieces%2 == 0 && !moved {
		w.running.Store(false)
		if w.pieces.Load() == pieces || w.running.Swap(true) {
			return false, true
		}
	}
	return !moved && pieces%2 == 1, false
}

// again sets the timer anew.
func (w *stallWatch) again() { w.timer.Reset(stallCheck) }

// checkStall looks after the app while an upward write does not progress: nobody
// reads from the app meanwhile, so nobody would notice that it has reset. An app that
// has closed gets Linger for its remaining bytes.
func (p *pipe) checkStall() {
	stuck, idle := p.stall.look()
	if idle || stuck && (p.endIfReset() || p.endIfAbandoned()) {
		return
	}
	p.stall.again()
}

// endIfReset ends a connection that the app has reset, and reports whether it did.
// takeReset clears the error, so copyUp may then read an end of stream; it waits for
// the delivery lock, and then sees that the connection is over.
func (p *pipe) endIfReset() bool {
	if !p.delivery.TryLock() {
		return false // a write to the app waits, which meets a reset itself; this would wait behind it
	}
	defer p.delivery.Unlock()
	p.mu.Lock()
	remoteEnded := p.ends.down != downOpen
	p.mu.Unlock()
	// Once we have ended our direction too, the kernel calls it a reset even if the
	// app's end came before; what has come is still to be read, and will tell.
	if remoteEnded || !takeReset(p.app) {
		return false
	}
	p.note(onAppReset, nil)
	return true
}

// endIfAbandoned ends a connection whose app has closed fully, after Linger without a
// byte, and reports whether it did.
func (p *pipe) endIfAbandoned() bool {
	silence := p.now() - time.Duration(p.active.Load())
	if silence < p.linger() || !p.appHasClosed() {
		return false
	}
	p.note(onStallAbandoned, nil)
	return true
}

// appHasClosed reports whether it is certain that the app has closed fully.
func (p *pipe) appHasClosed() bool {
	if p.from.disconnected() {
		return true
	}
	closed, err := p.appClosed(p.app)
	return closed && err == nil
}

package forwarder

import (
	"math"
	"time"
)

// ends is how far the two sides of a joined connection have come to their ends,
// what is due next, and, once it is over, why. It has no socket, no clock and no
// lock: pipe says what happened (record), asks what is due and when (next), and does
// what the action says. Times are counted from the join.
//
// Three states change independently of each other:
//
//	app's stream     upOpen ──onAppEnd──▶ upEnding ──onEndTold─────▶ upEnded
//	                    │                    └───────onEndNotTold──▶ upNotTold
//	                    └─────onRemoteWriteError──▶ upLost
//
//	remote's stream  downOpen ──onRemoteHalfClose──────────────────▶ downHalfClosed
//	                    └───────onRemoteClose, onRemoteCloseUnused─▶ downClosed
//
//	the app          appHere ──onAppUnknown──▶ appUnknown
//	                    └──────────┬──────────────┘
//	                               ├──onAppFoundClosed──▶ appLeft
//	                               │                         │
//	                               └──────────────────────┬──┘
//	                       onAppRefusal, onAppWriteError──┴──▶ appRefuses
//
// The connection is over at the first event that has a verdict: always at
// onAppReset, onRemoteReadError, onStallAbandoned, onShutdown, onBothCopied,
// onGraceOver, onLingerOver and onIdleOver; at onAppWriteError while the app's
// stream is upOpen or upLost; at onRemoteCloseUnused while, besides, the remote
// side's is downOpen and the app is not in appRefuses.
type ends struct {
	limits
	up      upState
	down    downState
	app     appState
	upErr   error         // of upNotTold and upLost
	toldAt  time.Duration // when upEnded or upNotTold was reached
	leftAt  time.Duration // when appLeft or appRefuses was reached
	askAt   time.Duration // when to ask next whether the app has closed fully
	pause   time.Duration // between the last question and askAt
	endedAt time.Duration
	verdict verdict // its cause is empty until the connection is over
}

// limits are the settings that ends depends on.
type limits struct {
	dial   time.Duration // a remote side that closes unused sooner could not reach its target
	linger time.Duration
	idle   time.Duration // 0: none
	asks   bool          // somebody can tell whether an app has closed fully
}

// upState is how far the app's stream has come.
type upState uint8

const (
	upOpen    upState = iota // the app sends
	upEnding                 // it has ended its stream, and the remote side is being told
	upEnded                  // the remote side knows
	upNotTold                // the remote side could not be told
	upLost                   // the remote side takes no more; some of the app's bytes were not delivered
	upStates                 // how many there are
)

// downState is how far the remote side's stream has come.
type downState uint8

const (
	downOpen       downState = iota
	downHalfClosed           // it has ended, and the remote side said that it reads on
	downClosed               // it has ended, and nothing was said
	downStates               // how many there are
)

// appState is what is known of the app apart from its stream.
type appState uint8

const (
	appHere    appState = iota // it takes what comes, as far as is known
	appUnknown                 // it takes what comes, and nobody can tell whether it has closed fully
	appLeft                    // it has closed fully
	appRefuses                 // it has closed fully, and has not taken all
	appStates                  // how many there are
)

// The pauses between questions whether the app has closed fully. The first is
// short, since most apps end the stream by closing; it is not zero, since the end
// arrives before close returns.
const (
	firstAsk = 50 * time.Millisecond
	maxAsk   = 5 * time.Second
	// goneGrace is how long the remote side has to answer our Close once the app
	// has gone. A Hybrid Connection Manager does not until its target ends too.
	goneGrace = 2 * time.Second
)

// over reports whether the connection has ended.
func (e *ends) over() bool { return e.verdict.cause != "" }

// sends reports whether the app's stream has not ended, as far as is known.
func (e *ends) sends() bool { return e.up == upOpen || e.up == upLost }

// told reports whether the app's end of stream was passed on, or tried to.
func (e *ends) told() bool { return e.up == upEnded || e.up == upNotTold }

// gone reports whether the app has closed fully.
func (e *ends) gone() bool { return e.app == appLeft || e.app == appRefuses }

// record takes in an event at now, and returns what to do. An event that cannot follow
// what is known changes nothing. err is what went wrong: of onRemoteWriteError,
// onEndNotTold and onRemoteReadError. It works in place, for copies would make the
// goroutines' stacks grow.
func (e *ends) record(what event, now time.Duration, err error) action {
	if e.over() {
		return doNothing
	}
	switch what {
	case onAppEnd:
		if e.up == upOpen {
			e.up = upEnding
		}
	case onEndTold:
		e.tell(upEnded, now, nil)
	case onEndNotTold:
		e.tell(upNotTold, now, err)
	case onRemoteWriteError:
		if e.up == upOpen {
			e.up, e.upErr = upLost, err
		}
	case onRemoteHalfClose:
		e.endDown(downHalfClosed)
	case onRemoteClose:
		e.endDown(downClosed)
	case onRemoteCloseUnused:
		// This is what a listener that cannot reach its target looks like.
		if e.down == downOpen && e.sends() && e.app != appRefuses {
			if now <= e.dial {
				return e.end(now, verdict{TargetUnreachable, nil})
			}
			return e.end(now, verdict{ClosedWithoutData, nil})
		}
		e.endDown(downClosed)
	case onAppWriteError:
		if e.sends() {
			return e.end(now, verdict{AppReset, nil})
		}
		e.leave(appRefuses, now)
	case onAppRefusal:
		e.leave(appRefuses, now)
	case onAppFoundClosed:
		e.leave(appLeft, now)
	case onAppFoundOpen:
		e.pause = min(2*e.pause, maxAsk)
		e.askAt = now + e.pause
	case onAppUnknown:
		if e.app == appHere {
			e.app = appUnknown
		}
	case onAskDue:
		return doAsk
	default:
		return e.end(now, e.verdictOf(what, err))
	}
	return doWait
}

// tell leaves upEnding.
func (e *ends) tell(to upState, now time.Duration, err error) {
	if e.up == upEnding {
		e.up, e.upErr, e.toldAt = to, err, now
		e.pause, e.askAt = firstAsk, now+firstAsk
	}
}

// endDown leaves downOpen.
func (e *ends) endDown(to downState) {
	if e.down == downOpen {
		e.down = to
	}
}

// leave notes that the app has closed fully.
func (e *ends) leave(to appState, now time.Duration) {
	if !e.gone() {
		e.leftAt = now
	}
	e.app = max(e.app, to)
}

// verdictOf is why a connection ends at an event that always ends it.
func (e *ends) verdictOf(what event, err error) verdict {
	switch what {
	case onAppReset:
		return verdict{AppReset, nil}
	case onRemoteReadError:
		return verdict{TunnelDropped, err} // even if the app has gone: what it sent may be lost
	case onStallAbandoned, onGraceOver:
		return verdict{AppGone, nil}
	case onIdleOver:
		return verdict{IdleTimeout, nil}
	case onShutdown:
		return verdict{Shutdown, nil}
	case onLingerOver:
		switch {
		case e.upErr != nil && e.down != downOpen: // only the app has not noticed
			return e.outcome()
		case e.gone():
			return verdict{AppGone, nil}
		}
		return verdict{Lingered, nil}
	}
	return e.outcome()
}

// outcome is why a connection ends both of whose directions have ended by
// themselves.
func (e *ends) outcome() verdict {
	switch {
	case e.upErr != nil && e.down == downHalfClosed:
		return verdict{TunnelDropped, e.upErr} // it had said that it would take more
	case e.up == upLost:
		return verdict{RemoteClosed, e.upErr}
	case e.app == appRefuses:
		return verdict{AppGone, nil}
	}
	return verdict{Closed, nil}
}

// end makes the connection over. The app gets a reset, unless it has its end of
// stream: what it still sends then meets a reset by itself.
func (e *ends) end(now time.Duration, v verdict) action {
	e.verdict, e.endedAt = v, now
	if v.cause == Closed || v.cause == RemoteClosed || v.cause == Lingered && e.down != downOpen {
		return doEnd
	}
	return doReset
}

// never is later than anything that is due.
const never = time.Duration(math.MaxInt64)

// next returns the event that is due next, and when, provided that nothing happens
// before. moved is when a byte last did in either direction, arrived when all that
// was sent upwards has arrived at the latest.
func (e *ends) next(moved, arrived time.Duration) (at time.Duration, what event) {
	switch {
	case e.over():
		return never, onIdleOver
	case e.up == upOpen && e.down == downOpen:
		if e.idle > 0 {
			return moved + e.idle, onIdleOver
		}
		return never, onIdleOver
	}
	at, what = moved+e.linger, onLingerOver
	switch {
	case e.gone() && (e.told() || e.up == upLost):
		if grace := max(e.leftAt, e.toldAt, arrived) + goneGrace; grace <= at {
			return grace, onGraceOver
		}
	case e.asks && e.app == appHere && e.told() && e.down == downOpen && e.askAt < at:
		return e.askAt, onAskDue
	}
	return at, what
}

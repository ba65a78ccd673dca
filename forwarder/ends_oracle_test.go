package forwarder

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// flags are what pipe knew of a connection's ends before there was a state machine,
// with the predicates as they stood: an oracle for it.
type flags struct {
	limits
	appEnded    bool  // the app ended its stream
	appRefuses  bool  // the app takes nothing more
	told        bool  // the remote side knows that the app ended
	upErr       error // the remote side no longer takes the app's stream
	unsent      bool  // some of the app's bytes were not delivered
	remoteEnded bool
	readsOn     bool          // the remote side said so
	askIn       time.Duration // between the last question and the next, 0 when it cannot be asked
	asked       time.Duration // when that was counted from
	goneAt      time.Duration // when the app was found to have closed fully, 0 when it was not
}

func (f *flags) halfDone() bool { return f.appEnded || f.upErr != nil || f.remoteEnded }

func (f *flags) onItsWay() bool { return f.goneAt != 0 && (f.told || f.upErr != nil) }

func (f *flags) canAsk() bool {
	return f.asks && f.askIn > 0 && f.appEnded && !f.remoteEnded && f.goneAt == 0
}

func (f *flags) parted() verdict {
	switch {
	case f.upErr != nil && f.readsOn:
		return verdict{TunnelDropped, f.upErr}
	case f.unsent:
		return verdict{RemoteClosed, f.upErr}
	case f.appRefuses:
		return verdict{AppGone, nil}
	}
	return verdict{Closed, nil}
}

// due is what tick did at the moment for which schedule had set the timer.
func (f *flags) due(moved, arrived time.Duration) (at time.Duration, do action, v verdict) {
	switch {
	case !f.halfDone() && f.idle > 0:
		return moved + f.idle, doReset, verdict{IdleTimeout, nil}
	case !f.halfDone():
		return never, doNothing, verdict{}
	}
	at = moved + f.linger
	switch {
	case f.onItsWay():
		if grace := max(arrived, f.goneAt) + goneGrace; grace <= at {
			return grace, doReset, verdict{AppGone, nil}
		}
	case f.canAsk() && f.asked+f.askIn < at:
		return f.asked + f.askIn, doAsk, verdict{}
	}
	v = verdict{Lingered, nil}
	switch {
	case f.upErr != nil && f.remoteEnded:
		v = f.parted()
	case f.goneAt != 0:
		v.cause = AppGone
	}
	return at, f.closes(v), v
}

// closes is how end closed the app's connection.
func (f *flags) closes(v verdict) action {
	if v.cause == Closed || v.cause == RemoteClosed || v.cause == Lingered && f.remoteEnded {
		return doEnd
	}
	return doReset
}

// happen is what pipe did at an event. It returns false where the event cannot happen,
// and a verdict where the event ends the connection.
func (f *flags) happen(what event, now time.Duration, err error) (bool, verdict) {
	possible := true
	switch what {
	case onAppEnd:
		possible = !f.appEnded && !f.unsent
		f.appEnded = f.appEnded || possible
	case onEndTold, onEndNotTold:
		if possible = f.appEnded && !f.told; possible {
			if what == onEndNotTold {
				f.upErr = err
			}
			f.told, f.askIn, f.asked = true, firstAsk, now
			if f.appRefuses {
				f.goneAt = now
			}
		}
	case onRemoteWriteError:
		if possible = !f.appEnded && !f.unsent; possible {
			f.upErr, f.unsent = err, true
		}
	case onRemoteHalfClose, onRemoteClose, onRemoteCloseUnused:
		if possible = !f.remoteEnded; possible {
			if what == onRemoteCloseUnused && !f.appEnded && !f.appRefuses {
				if now <= f.dial {
					return true, verdict{TargetUnreachable, nil}
				}
				return true, verdict{ClosedWithoutData, nil}
			}
			f.remoteEnded, f.readsOn = true, what == onRemoteHalfClose
		}
	case onAppWriteError, onAppRefusal:
		if what == onAppWriteError && !f.appEnded {
			return true, verdict{AppReset, nil}
		}
		f.appRefuses = true
		if f.goneAt == 0 {
			f.goneAt = now
		}
	case onAppFoundClosed:
		if possible = f.canAsk(); possible {
			f.goneAt = now
		}
	case onAppFoundOpen:
		if possible = f.canAsk(); possible {
			f.askIn, f.asked = min(2*f.askIn, maxAsk), now
		}
	case onAppUnknown:
		if possible = f.canAsk(); possible {
			f.askIn = 0
		}
	case onBothCopied:
		return f.remoteEnded && (f.told || f.unsent), f.parted()
	default:
		possible = false // of what always ends a connection, or is due
	}
	return possible, verdict{}
}

// TestEndsAgreeWithTheFlagsBefore on random histories.
func TestEndsAgreeWithTheFlagsBefore(t *testing.T) {
	const histories = 300_000
	boom := errors.New("boom")
	random := rand.New(rand.NewPCG(1, 2))
	after := func(most time.Duration) time.Duration { return 1 + time.Duration(random.Int64N(int64(most))) }
	tried := 0
	for run := range histories {
		l := limits{dial: after(5 * time.Second), linger: after(10 * time.Second), asks: random.IntN(4) > 0}
		if random.IntN(2) == 0 {
			l.idle = after(10 * time.Second)
		}
		e, f := ends{limits: l}, flags{limits: l}
		var now time.Duration
		for range 24 {
			now += after(time.Second)
			what := event(random.IntN(int(events)))
			before := f
			possible, ended := f.happen(what, now, boom)
			if !possible {
				f = before
				continue
			}
			tried++
			do := e.record(what, now, boom)
			if e.verdict != ended || ended.cause != "" && do != f.closes(ended) {
				t.Fatalf("run %d, %s: got %v and action %d, want %v; %+v", run, eventNames[what], e.verdict, do, ended, f)
			}
			if ended.cause != "" {
				break
			}
			moved, arrived := now-after(time.Second), after(15*time.Second)
			at, what := e.next(moved, arrived)
			wantAt, wantDo, wantVerdict := f.due(moved, arrived)
			if at != wantAt {
				t.Fatalf("run %d: %s is due at %v, want %v; %+v", run, eventNames[what], at, wantAt, f)
			}
			if at == never {
				continue
			}
			then := e
			if do := then.record(what, at, nil); do != wantDo || then.verdict != wantVerdict {
				t.Fatalf("run %d: %s leads to action %d, %v; want %d, %v; %+v",
					run, eventNames[what], do, then.verdict, wantDo, wantVerdict, f)
			}
		}
	}
	if tried < histories {
		t.Errorf("only %d events were possible", tried)
	}
}

package soak_test

import (
	"errors"
	"fmt"
	"time"

	"hyco-sidecar/test/fakelistener"
)

// facts are what became of one connection.
type facts struct {
	personality fakelistener.Personality
	effect      effect // of the relay's fault
	cutAt       int64  // after how many bytes towards the app that fault cuts the tunnel; -1 = never
	outage      bool   // its listener or the relay was away for a part of its life
	starved     bool   // the kernel had no memory for TCP, and may have done anything to anybody
	refused     bool   // the target could not be reached

	app     half
	target  half
	reached bool // the listener has dialled the target; if not, target is one that did nothing

	cause    string // in the sidecar's line, as are the two that follow
	up, down int64
}

// leeway is what one direction may come to besides the good end, which is
// everything that was sent and then its end.
type leeway struct {
	breaks bool // breaks off
	lies   bool // ends in order although bytes are missing
	hushes bool // has no end at all
}

// leeways are those of the direction to the app and of the one to the target.
//
// The sidecar itself never lies. HCM does, for it takes a loss for an end and
// passes none on before both sides have ended; a Node-like listener does, for it
// ends both directions when either ends.
func (f *facts) leeways() (down, up leeway) {
	hcm, node := f.personality == fakelistener.HCM, f.personality == fakelistener.NodeLike
	appEnded, targetEnded := f.app.ended, f.target.ended
	disturbed := f.outage || f.effect == breaking
	violent := func(e ended) bool { return e == byReset || e == abruptly }

	// "Closed without a byte" is how a target that was not reached looks, unless the
	// listener says Shutdown, which only HalfClose does; HCM ends last.
	mistaken := node && f.target.size == 0
	// An app that ends without a byte is not dialled for again.
	gaveUp := f.effect == retried && f.app.sent == 0 && appEnded != notEnded

	down.breaks = disturbed || mistaken || gaveUp || f.refused || violent(targetEnded) || node && f.app.first
	down.lies = hcm && violent(targetEnded) ||
		f.refused && appEnded == inOrder ||
		node && f.app.first

	// Whether the app may see the tunnel break is judged above.
	loss := disturbed || mistaken || violent(appEnded) || f.app.saw == breakage || f.cutOffAsGone()
	up.breaks = loss || node && appEnded != notEnded
	up.lies = (hcm || node) && loss
	up.hushes = hcm && loss
	return down, up
}

// The sidecar keeps the tunnel of an app that has closed fully for goneGrace
// after all that the app has sent has arrived, at slowest bytes a second.
const (
	goneGrace = 2 * time.Second
	slowest   = 256 << 10
)

// cutOffAsGone reports whether the target may have been cut off because the app
// had closed fully: it was heard of last when its time was over, or nearly.
func (f *facts) cutOffAsGone() bool {
	if f.app.closedAt.IsZero() {
		return false
	}
	arrived := f.app.begunAt.Add(time.Duration(f.app.sent) * time.Second / slowest)
	if arrived.Before(f.app.closedAt) {
		arrived = f.app.closedAt
	}
	return f.target.heardAt.Sub(arrived) >= goneGrace*3/4
}

// verdict says what is wrong with the facts, or nothing.
func (f *facts) verdict() error {
	if f.starved {
		anything := leeway{breaks: true, lies: true, hushes: true}
		return errors.Join(judge(f.target, f.app, anything), judge(f.app, f.target, anything))
	}
	down, up := f.leeways()
	if err := judge(f.target, f.app, down); err != nil {
		return fmt.Errorf("to the app: %w", err)
	}
	if f.cutAt >= 0 && f.app.saw == endOfStream && f.app.got >= f.cutAt {
		return fmt.Errorf("to the app: the tunnel was cut after %d bytes, and that looked like the end", f.cutAt)
	}
	if f.reached {
		if err := judge(f.app, f.target, up); err != nil {
			return fmt.Errorf("to the target: %w", err)
		}
	} else if f.app.ended == inOrder && !down.breaks {
		return fmt.Errorf("to the target: it was never dialled")
	}
	return f.judgeLine(down)
}

// judgeLine compares the sidecar's own account with what was seen. Down is what may
// have become of the direction to the app.
func (f *facts) judgeLine(down leeway) error {
	if f.up > f.app.sent || f.up < f.target.got || f.down > f.target.sent || f.down < f.app.got {
		return fmt.Errorf("logged with %d bytes up and %d down; the app sent %d and got %d, the target sent %d and got %d",
			f.up, f.down, f.app.sent, f.app.got, f.target.sent, f.target.got)
	}
	if why := f.contradiction(down); why != "" {
		return fmt.Errorf("logged as %s, but %s", f.cause, why)
	}
	return nil
}

// contradiction is what was seen that the logged cause does not agree with; empty
// when there is none.
func (f *facts) contradiction(down leeway) string {
	app, target := &f.app, &f.target
	switch f.cause {
	case "closed":
		switch {
		case f.up != app.sent || app.saw == endOfStream && f.down != app.got:
			return fmt.Sprintf("with %d bytes up and %d down; the app sent %d and got %d", f.up, f.down, app.sent, app.got)
		case app.ended != inOrder && app.ended != abruptly:
			return fmt.Sprintf("the app ended %s", app.ended)
		case app.saw == breakage:
			return "the app saw it break"
		}
	case "dial_failed", "app_gave_up", "target_unreachable_suspected", "closed_without_data":
		dialled := f.cause != "dial_failed" && f.cause != "app_gave_up"
		switch {
		case f.down > 0 || !dialled && f.up > 0:
			return fmt.Sprintf("with %d bytes up and %d down", f.up, f.down)
		case f.cause == "dial_failed" && f.effect == unseen && !f.outage:
			return "nothing kept the listener from being reached"
		case f.cause == "app_gave_up" && app.ended == notEnded:
			return "the app had not left"
		}
	case "remote_closed":
		if f.reached && app.ended == inOrder && target.got == app.sent {
			return "the target got all there was"
		}
	case "app_reset":
		if app.ended != byReset && app.ended != abruptly {
			return fmt.Sprintf("the app ended %s", app.ended)
		}
	case "app_gone":
		switch {
		case app.closedAt.IsZero():
			return "the app was there"
		case f.personality == fakelistener.HalfClose && target.saw == breakage && target.got < app.sent && !f.cutOffAsGone():
			return "the tunnel broke under what it had sent" // others break it off when the app ends
		}
	case "tunnel_dropped":
		if !down.breaks && f.personality != fakelistener.NodeLike {
			return "nothing broke it"
		}
	default:
		return "nothing here leads to that"
	}
	return ""
}

// judge compares what one side received with what the other one sent.
func judge(from, to half, l leeway) error {
	switch {
	case to.wrongAt >= 0:
		return fmt.Errorf("byte %d is not the one that was sent", to.wrongAt)
	case to.got > from.sent:
		return fmt.Errorf("%d bytes were received of %d that were sent", to.got, from.sent)
	case to.ended == failing && !l.breaks:
		return fmt.Errorf("a write failed: %w", to.writeErr)
	}
	switch to.saw {
	case endOfStream:
		ended := from.ended == inOrder || from.ended == abruptly
		if (!ended || to.got < from.sent) && !l.lies {
			return fmt.Errorf("the stream ended after %d bytes; %d were sent, and it was ended %s", to.got, from.sent, from.ended)
		}
	case breakage:
		if !l.breaks {
			return fmt.Errorf("the connection broke after %d bytes: %w", to.got, to.readErr)
		}
	case silence:
		if !l.hushes {
			return fmt.Errorf("nothing more came after %d bytes, and no end", to.got)
		}
	}
	return nil
}

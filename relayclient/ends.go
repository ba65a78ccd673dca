package relayclient

import (
	"errors"
	"io"
	"net"
)

// ends is what is known of how a [Conn] ends: of our direction, of the far side's, and
// of the connection that carries both. It is a plain value without socket, clock or
// lock. [lifetime] holds it; whoever learns something notes an event there, and gets back
// what to do.
//
//	our direction
//	  oursOpen ── ourTurn ──▶ oursClosed
//	  oursOpen ── closesBoth ──▶ oursToBoth ── endOurs ──▶ oursPending ── ourTurn ──▶ oursClosed
//
//	the far side's direction
//	  theirsOpen ── theyShutDown ──▶ theirsShutDown
//	  theirsOpen ── theyClose ──▶ theirsEnded
//	  theirsOpen ── theyFail ──▶ theirsFailed
//
//	the connection
//	  connUp ── any end of the far side's, unless oursClosed ──▶ connDraining ── relayEnd ──▶ connGone
//	  connUp, connDraining, connGone ── noPong ──▶ connDead
//	  connUp, connDraining, connGone ── shut ──▶ connShut
//
// Conn.Close is endAll, which changes nothing: the action says how to end, and shut follows.
//
// A Close frame is written by whoever has the turn to write, so the app's wish
// (endOurs) and the frame (ourTurn) are two events: a write in progress may hold the
// turn for minutes, and Conn.Close breaks off a CloseWrite that waits for it.
type ends struct {
	ours   ours
	theirs theirs
	conn   connection
}

// ours is how far our direction has come.
type ours uint8

const (
	oursOpen    ours = iota // CloseWrite sends the Close frame
	oursToBoth              // still open; the listener takes the first Close for the end of both directions
	oursPending             // ended by the app; the Close frame waits for Conn.Close
	oursClosed              // the Close frame is sent or being sent, and nothing follows
)

// theirs is how far the far side's direction has come, by the Close frame that Read met.
type theirs uint8

const (
	theirsOpen     theirs = iota
	theirsShutDown        // Close 1000 "Shutdown": complete, and the far side reads on
	theirsEnded           // another Close 1000, 1001 or 1005: complete
	theirsFailed          // a Close of another code: may be incomplete
)

// connection is what is known of the connection that carries both directions.
type connection uint8

const (
	connUp       connection = iota // Read meets its end
	connDraining                   // Read has ended, and a goroutine reads on
	connGone                       // the relay, or the network, ended it after the far side's Close
	connDead                       // we gave it up: the relay left a ping unanswered
	connShut                       // we closed it
)

// event is what somebody has learnt.
type event uint8

const (
	closesBoth   event = iota // the listener takes the first Close for the end of both directions
	endOurs                   // Conn.CloseWrite was called
	ourTurn                   // the turn to write is ours, and our Close frame is due
	theyShutDown              // Read met Close 1000 "Shutdown"
	theyClose                 // Read met another Close 1000, 1001 or 1005
	theyFail                  // Read met a Close of another code
	relayEnd                  // who reads on met the end of the connection
	noPong                    // the relay left a ping unanswered
	endAll                    // Conn.Close was called, or has sent the Close frame that was pending
	shut                      // the connection is being closed: no goroutine begins any more
	events                    // their number
)

// action is what whoever noted an event does next.
type action uint8

const (
	doNothing  action = iota
	takeTurn          // take the turn to write, then note ourTurn
	sendClose         // write the Close frame
	refuse            // fail: see ends.writeError
	drain             // start reading on, until the connection's end
	abortConn         // reset the connection
	awaitDrain        // wait for who reads on, then close the connection
	readOn            // read up to the connection's end, then close it
	closeTLS          // close the connection with a word of farewell
)

// next returns what is known after ev, and what whoever learnt it does.
func (e ends) next(ev event) (ends, action) {
	switch ev {
	case closesBoth:
		if e.ours == oursOpen {
			e.ours = oursToBoth
		}
		return e, doNothing
	case endOurs:
		return e.nextEndOurs()
	case ourTurn:
		return e.nextOurTurn()
	case theyShutDown:
		return e.nextTheirs(theirsShutDown)
	case theyClose:
		return e.nextTheirs(theirsEnded)
	case theyFail:
		return e.nextTheirs(theirsFailed)
	case relayEnd:
		if e.conn == connDraining {
			e.conn = connGone
		}
		return e, doNothing
	case noPong:
		if e.conn == connShut {
			return e, doNothing
		}
		e.conn = connDead
		return e, abortConn
	case endAll:
		return e, e.lastAction()
	case shut:
		if e.conn != connDead { // which is shut, and says more
			e.conn = connShut
		}
		return e, doNothing
	}
	panic("relayclient: an event that does not exist")
}

// nextEndOurs: the app ends its direction, perhaps once more.
func (e ends) nextEndOurs() (ends, action) {
	switch e.ours {
	case oursOpen:
		return e, takeTurn
	case oursToBoth:
		e.ours = oursPending
	}
	return e, doNothing
}

// nextOurTurn: nobody else writes, and the Close frame may leave unless the connection
// is known to take nothing more.
func (e ends) nextOurTurn() (ends, action) {
	switch {
	case e.ours == oursClosed:
		return e, doNothing
	case e.conn == connGone, e.conn == connDead, e.conn == connShut:
		return e, refuse
	}
	e.ours = oursClosed
	return e, sendClose
}

// nextTheirs: Read met a Close frame, which it goes on meeting. While our direction is
// not closed somebody has to read on, to notice the end of the connection and to keep
// the socket empty: see Conn.drain. Once it is closed, Conn.Close does so.
func (e ends) nextTheirs(end theirs) (ends, action) {
	if e.theirs != theirsOpen || e.conn == connDead {
		return e, doNothing
	}
	e.theirs = end
	if e.conn == connUp && e.ours != oursClosed {
		e.conn = connDraining
		return e, drain
	}
	return e, doNothing
}

// lastAction is what Conn.Close does. The end is orderly if our direction has one. After
// both Close frames the connection is the relay's to close (RFC 6455 §7.1.1).
func (e ends) lastAction() action {
	switch {
	case e.conn == connShut:
		return doNothing // another Close, which may be saying farewell
	case e.conn == connDead:
		return abortConn
	case e.ours == oursPending && e.conn != connGone:
		return takeTurn
	case e.ours != oursClosed:
		return abortConn
	case !e.theyEnded():
		return closeTLS
	case e.conn == connUp:
		return readOn
	}
	return awaitDrain
}

// theyEnded reports whether the far side's stream is complete.
func (e ends) theyEnded() bool { return e.theirs == theirsShutDown || e.theirs == theirsEnded }

// mayStart reports whether a goroutine may begin that Conn.Close waits for.
func (e ends) mayStart() bool { return e.conn != connShut && e.conn != connDead }

var (
	// errCloseSent is the fate of a Write after CloseWrite.
	errCloseSent = errors.New("relayclient: write after CloseWrite")
	// errShut is the fate of a Write after Close.
	errShut = dropped(net.ErrClosed)
)

// writeError is why nothing more can be written; nil while it can.
func (e ends) writeError() error {
	switch {
	case e.conn == connDead:
		return errNoPong
	case e.ours == oursClosed:
		return errCloseSent
	case e.conn == connGone:
		return ErrDropped
	case e.conn == connShut:
		return errShut
	}
	return nil
}

// readError is what the end of reading, met as such, means to the reader.
func (e ends) readError(met error) error {
	switch {
	case e.conn == connDead:
		return errNoPong
	case e.theyEnded():
		return io.EOF
	}
	return met
}

// pack is e as one word, for an atomic.
func (e ends) pack() uint32 { return uint32(e.ours) | uint32(e.theirs)<<8 | uint32(e.conn)<<16 }

// unpack reverses pack.
func unpack(word uint32) ends {
	return ends{ours(word & 0xff), theirs(word >> 8 & 0xff), connection(word >> 16)}
}

package relayclient

import (
	"errors"
	"io"
	"net"
)

// ends is what is known of how a [Conn] ends: of our direction, of the far side's, and
// of the connection that carries both. It is a plain value without socket, clock or
// lock. [connState] holds it; whoever learns something notes an event there, and gets back
// what to do.
//
//	our direction
//	  oursOpen ── onTurn ──▶ oursClosed
//	  oursOpen ── onClosesBoth ──▶ oursToBoth ── onCloseWrite ──▶ oursPending ── onTurn ──▶ oursClosed
//
//	the far side's direction
//	  theirsOpen ── onTheyShutDown ──▶ theirsShutDown
//	  theirsOpen ── onTheyClose ──▶ theirsEnded
//	  theirsOpen ── onTheyFail ──▶ theirsFailed
//
//	the connection
//	  connUp ── any end of the far side's, unless oursClosed ──▶ connDraining ── onRelayEnd ──▶ connGone
//	  connUp, connDraining, connGone ── onNoPong ──▶ connDead
//	  connUp, connDraining, connGone ── onShut ──▶ connShut
//
// Conn.Close is onClose, which changes nothing: the action says how to end, and onShut follows.
//
// A Close frame is written by whoever has the turn to write, so the app's wish
// (onCloseWrite) and the frame (onTurn) are two events: a write in progress may hold the
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
	onClosesBoth   event = iota // the listener takes the first Close for the end of both directions
	onCloseWrite                // Conn.CloseWrite was called
	onTurn                      // the turn to write is ours, and our Close frame is due
	onTheyShutDown              // Read met Close 1000 "Shutdown"
	onTheyClose                 // Read met another Close 1000, 1001 or 1005
	onTheyFail                  // Read met a Close of another code
	onRelayEnd                  // who reads on met the end of the connection
	onNoPong                    // the relay left a ping unanswered
	onClose                     // Conn.Close was called, or has sent the Close frame that was pending
	onShut                      // the connection is being closed: no goroutine begins any more
	events                      // their number
)

// action is what whoever noted an event does next.
type action uint8

const (
	doNothing    action = iota
	doTakeTurn          // take the turn to write, then note onTurn
	doSendClose         // write the Close frame
	doRefuse            // fail: see ends.writeError
	doDrain             // start reading on, until the connection's end
	doAbort             // reset the connection
	doAwaitDrain        // wait for who reads on, then close the connection
	doReadOn            // read up to the connection's end, then close it
	doCloseTLS          // close the connection with a TLS close_notify
)

// after returns what is known after ev, and what whoever learnt it does.
func (e ends) after(ev event) (ends, action) {
	switch ev {
	case onClosesBoth:
		if e.ours == oursOpen {
			e.ours = oursToBoth
		}
		return e, doNothing
	case onCloseWrite:
		return e.afterCloseWrite()
	case onTurn:
		return e.afterTurn()
	case onTheyShutDown:
		return e.afterTheirs(theirsShutDown)
	case onTheyClose:
		return e.afterTheirs(theirsEnded)
	case onTheyFail:
		return e.afterTheirs(theirsFailed)
	case onRelayEnd:
		if e.conn == connDraining {
			e.conn = connGone
		}
		return e, doNothing
	case onNoPong:
		if e.conn == connShut {
			return e, doNothing
		}
		e.conn = connDead
		return e, doAbort
	case onClose:
		return e, e.lastAction()
	case onShut:
		if e.conn != connDead { // which is shut, and says more
			e.conn = connShut
		}
		return e, doNothing
	}
	panic("relayclient: an event that does not exist")
}

// afterCloseWrite: the app ends its direction, perhaps once more.
func (e ends) afterCloseWrite() (ends, action) {
	switch e.ours {
	case oursOpen:
		return e, doTakeTurn
	case oursToBoth:
		e.ours = oursPending
	}
	return e, doNothing
}

// afterTurn: nobody else writes, and the Close frame may leave unless the connection
// is known to take nothing more.
func (e ends) afterTurn() (ends, action) {
	switch {
	case e.ours == oursClosed:
		return e, doNothing
	case e.conn == connGone, e.conn == connDead, e.conn == connShut:
		return e, doRefuse
	}
	e.ours = oursClosed
	return e, doSendClose
}

// afterTheirs: Read met a Close frame, which it goes on meeting. While our direction is
// not closed somebody has to read on, to notice the end of the connection and to keep
// the socket empty: see Conn.drain. Once it is closed, Conn.Close does so.
func (e ends) afterTheirs(end theirs) (ends, action) {
	if e.theirs != theirsOpen || e.conn == connDead {
		return e, doNothing
	}
	e.theirs = end
	if e.conn == connUp && e.ours != oursClosed {
		e.conn = connDraining
		return e, doDrain
	}
	return e, doNothing
}

// lastAction is what Conn.Close does. The end is orderly if our direction has one. After
// both Close frames the connection is the relay's to close (RFC 6455 §7.1.1).
func (e ends) lastAction() action {
	switch {
	case e.conn == connShut:
		return doNothing // another Close, which may be sending the close_notify
	case e.conn == connDead:
		return doAbort
	case e.ours == oursPending && e.conn != connGone:
		return doTakeTurn
	case e.ours != oursClosed:
		return doAbort
	case !e.theyEnded():
		return doCloseTLS
	case e.conn == connUp:
		return doReadOn
	}
	return doAwaitDrain
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

package relayclient

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// CloseError is a Close frame whose code does not mean a complete stream, of the relay or
// the listener (docs/relay-protocol.md §6.5).
type CloseError struct {
	Code   uint16 // RFC 6455 §7.4
	Reason string // at most 123 bytes, on one line
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("relayclient: the tunnel was closed with code %d %q", e.Code, e.Reason)
}

// shutdownReason is what the reference client writes into the Close frame of a half-close;
// a full close says "CloseAsync" (docs/relay-protocol.md §6.1).
const shutdownReason = "Shutdown"

// event is what the Close frame means for the far side's direction.
func (e *CloseError) event() event {
	switch e.Code {
	case closeNormal:
		if e.Reason == shutdownReason {
			return onTheyShutDown
		}
		return onTheyClose
	case closeGoingAway, closeNoStatus:
		return onTheyClose
	}
	return onTheyFail
}

// ErrDropped is returned by Read and Write when the tunnel's connection ended without a
// Close frame: what was received may be incomplete.
var ErrDropped = errors.New("relayclient: the tunnel was dropped without a Close frame")

// ErrProtocol is returned by Read when the relay sent what is not WebSocket (RFC 6455 §5).
var ErrProtocol = errors.New("relayclient: the relay broke the WebSocket protocol")

// dropped turns an end of the connection beneath into ErrDropped with its cause.
func dropped(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDropped
	}
	return fmt.Errorf("%w: %w", ErrDropped, err)
}

// inbound takes the bytes out of the frames that arrive. It holds no buffer: a frame's head
// is collected here, its payload goes straight to the reader, as far as it has arrived.
// Everything may be cut anywhere. Only the reading goroutine uses it, except the field
// waiting.
type inbound struct {
	conn          io.Reader
	socket        *socket                           // beneath conn; nil where it cannot be read without waiting
	handleControl func(opcode byte, payload []byte) // takes pings and pongs

	head    [2 + maxControlPayload]byte // of the next frame, and a control frame's payload
	have    int                         // bytes of head collected
	left    uint64                      // payload of the current data frame still to come
	unended bool                        // the message has further fragments
	ahead   [1]byte                     // the byte that await has read
	isAhead bool                        // it is the next to be returned
	probed  error                       // result of the last probe: nil (a byte is ahead), errNotYet, or the end
	err     error                       // ends reading: *CloseError (any code), ErrDropped or ErrProtocol

	born    time.Time
	waiting atomic.Int64 // 1 + ns since born when the current read began to wait; 0 = none waits
}

// await blocks until there are bytes or the end to read. A byte read ahead is the only
// proof of bytes: everything else may be an empty frame, a ping, or TLS talking to itself.
func (in *inbound) await() error {
	for !in.isAhead {
		if in.err != nil {
			return in.err // Conn.drain may be reading on
		}
		if in.socket == nil {
			return nil
		}
		if !in.socket.await(in) {
			in.probe()
		}
		in.waiting.Store(0)
		if in.probed != nil && in.probed != errNotYet { //nolint:errorlint // receive returns it bare
			return in.probed
		}
	}
	return nil
}

// probe reads a byte ahead without waiting and reports whether await is over: there is a
// byte, or the end. If not, it notes that a read waits from now on.
func (in *inbound) probe() bool {
	in.waiting.Store(0)
	if _, in.probed = in.nextNow(in.ahead[:]); in.probed == errNotYet { //nolint:errorlint // receive returns it bare
		in.noteWaiting()
		return false
	}
	in.isAhead = in.probed == nil
	return true
}

// read blocks until it can return at least one byte, and returns all that have arrived and
// fit p.
func (in *inbound) read(p []byte) (n int, err error) {
	if in.isAhead {
		in.isAhead = false
		n = copy(p, in.ahead[:])
	} else if n, err = in.next(p); err != nil {
		return 0, err
	}
	for in.socket != nil && n < len(p) && err == nil {
		var m int
		m, err = in.nextNow(p[n:])
		n += m
	}
	return n, nil
}

// nextNow is next, but returns errNotYet instead of waiting, where the socket can.
func (in *inbound) nextNow(p []byte) (int, error) {
	if in.socket == nil {
		return in.next(p)
	}
	in.socket.nowait = true
	n, err := in.next(p)
	in.socket.nowait = false
	return n, err
}

// next returns bytes of one frame, after handling the control frames before it.
func (in *inbound) next(p []byte) (int, error) {
	for in.err == nil {
		if in.left == 0 {
			if err := in.advance(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := in.receive(p[:min(uint64(len(p)), in.left)])
		in.left -= uint64(n)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, in.err
}

// advance collects the next frame's head (RFC 6455 §5.2) and acts on it once it is whole.
func (in *inbound) advance() error {
	size, err := headSize(in.head[:in.have])
	if err != nil {
		return in.fail(err)
	}
	if in.have < size {
		n, err := in.receive(in.head[in.have:size])
		in.have += n
		if n > 0 {
			return nil
		}
		return err
	}
	head := in.head[:size]
	in.have = 0
	switch opcode := head[0] & opcodeBits; opcode {
	case opClose:
		end, err := parseClose(head[2:])
		if err != nil {
			return in.fail(err)
		}
		in.err = end
		return end
	case opPing, opPong:
		in.handleControl(opcode, head[2:])
		return nil
	default:
		if in.unended != (opcode == opContinuation) {
			return in.fail(errBadOrder)
		}
	}
	in.unended = head[0]&finBit == 0
	if in.left, err = payloadSize(head); err != nil {
		return in.fail(err)
	}
	return nil
}

// fail ends reading with what the relay did wrong.
func (in *inbound) fail(err error) error {
	in.err = fmt.Errorf("%w: %w", ErrProtocol, err)
	return in.err
}

// receive reads once from the connection.
func (in *inbound) receive(p []byte) (int, error) {
	if in.socket == nil || !in.socket.nowait {
		in.noteWaiting()
		defer in.waiting.Store(0)
	}
	n, err := in.conn.Read(p)
	switch {
	case err == nil, n > 0: // an error beside bytes comes again with the next read
		return n, nil
	case errors.Is(err, errNotYet):
		return 0, errNotYet
	}
	in.err = dropped(err)
	return 0, in.err
}

func (in *inbound) noteWaiting() { in.waiting.Store(int64(time.Since(in.born)) + 1) }

// waitingSince is when the read in progress began to wait; ok is false while none waits.
// It follows the monotonic clock, so setting the clock does no harm. Any goroutine may ask.
func (in *inbound) waitingSince() (since time.Time, ok bool) {
	ns := in.waiting.Load()
	return in.born.Add(time.Duration(ns - 1)), ns != 0
}

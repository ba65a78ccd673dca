package relayclient

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// CloseError is the relay's or listener's Close frame with a code that does not
// mean a complete stream.
type CloseError struct {
	Code   uint16
	Reason string // sanitised, at most 123 bytes
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("relayclient: the tunnel was closed with code %d %q", e.Code, e.Reason)
}

// ErrDropped is returned by Read and Write when the tunnel's connection ended
// without a Close frame: what was received may be incomplete.
var ErrDropped = errors.New("relayclient: the tunnel was dropped without a Close frame")

// ErrProtocol is returned by Read when the relay sent what is not WebSocket.
var ErrProtocol = errors.New("relayclient: the relay broke the WebSocket protocol")

// dropped turns an end of the connection beneath into ErrDropped with its cause.
func dropped(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDropped
	}
	return fmt.Errorf("%w: %w", ErrDropped, err)
}

// inbound takes the bytes out of the frames that arrive. It holds no buffer: a
// frame's head is collected here, its payload goes straight to the reader, as
// far as it has arrived. Everything may be cut anywhere. It belongs to the
// reading goroutine, but for waiting.
type inbound struct {
	conn   io.Reader
	socket *socket                           // beneath conn; nil where it is none of ours
	obey   func(opcode byte, payload []byte) // takes pings and pongs

	head    [2 + maxControlPayload]byte // of the next frame, and a control frame's payload
	have    int                         // bytes of it collected
	left    uint64                      // payload of the current data frame still to come
	unended bool                        // the message has further fragments
	ahead   [1]byte                     // see await
	isAhead bool
	met     error // what came looked at: nil with a byte ahead, or errNotYet
	err     error // ends reading: *CloseError (any code), ErrDropped or ErrProtocol

	born    time.Time
	waiting atomic.Int64 // since when a read waits for bytes, one more than the nanoseconds after born; 0 while none does
}

// await blocks until there are bytes or the end to read. A byte ahead of what
// was asked for is the only proof of that: everything else may be an empty
// frame, a ping, or TLS talking to itself.
func (in *inbound) await() error {
	for !in.isAhead {
		if in.err != nil {
			return in.err // somebody else may be reading on, see Conn.drain
		}
		if in.socket == nil {
			return nil
		}
		if !in.socket.await(in) {
			in.came()
		}
		in.waiting.Store(0)
		if in.met != nil && in.met != errNotYet {
			return in.met
		}
	}
	return nil
}

// came looks for what await waits for, and notes since when where it is not there.
func (in *inbound) came() bool {
	in.waiting.Store(0)
	if _, in.met = in.nextNow(in.ahead[:]); in.met == errNotYet {
		in.waits()
		return false
	}
	in.isAhead = in.met == nil
	return true
}

// read blocks until it can return at least one byte, and returns all that has
// arrived and fits p.
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

// nextNow is next, but returns errNotYet instead of waiting where that is possible.
func (in *inbound) nextNow(p []byte) (int, error) {
	if in.socket == nil {
		return in.next(p)
	}
	in.socket.nowait = true
	n, err := in.next(p)
	in.socket.nowait = false
	return n, err
}

// next returns bytes of one frame, after obeying the control frames before it.
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

// advance collects the next frame's head and acts on it once it is whole.
func (in *inbound) advance() error {
	size, err := headSize(in.head[:in.have])
	if err != nil {
		return in.violation(err)
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
			return in.violation(err)
		}
		in.err = end
		return end
	case opPing, opPong:
		in.obey(opcode, head[2:])
		return nil
	default:
		if in.unended != (opcode == opContinuation) {
			return in.violation(errBadOrder)
		}
	}
	in.unended = head[0]&finBit == 0
	if in.left, err = payloadSize(head); err != nil {
		return in.violation(err)
	}
	return nil
}

func (in *inbound) violation(err error) error {
	in.err = fmt.Errorf("%w: %w", ErrProtocol, err)
	return in.err
}

// receive reads once from the connection.
func (in *inbound) receive(p []byte) (int, error) {
	if in.socket == nil || !in.socket.nowait {
		in.waits()
		defer in.waiting.Store(0)
	}
	n, err := in.conn.Read(p)
	switch {
	case err == nil, n > 0: // the connection will say it again
		return n, nil
	case errors.Is(err, errNotYet):
		return 0, errNotYet
	}
	in.err = dropped(err)
	return 0, in.err
}

func (in *inbound) waits() { in.waiting.Store(int64(time.Since(in.born)) + 1) }

// waitingSince is when the read in progress began to wait; ok is false while
// nobody reads. It follows the monotonic clock, so a clock that is set does no
// harm.
func (in *inbound) waitingSince() (since time.Time, ok bool) {
	ns := in.waiting.Load()
	return in.born.Add(time.Duration(ns - 1)), ns != 0
}

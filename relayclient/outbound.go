package relayclient

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

const (
	// recordSize is what one TLS record carries at most, RFC 8446 §5.1.
	recordSize = 16 << 10
	// maxMessage is how many bytes one message carries at most: with its header
	// of eight bytes it fills four TLS records. The relay passes 1 MiB and more;
	// azbridge reads and writes 64 KiB.
	maxMessage = 4*recordSize - 8
)

// errCloseSent is the fate of a Write after CloseWrite.
var errCloseSent = errors.New("relayclient: write after CloseWrite")

// outbound writes every frame that leaves: data, pings and their answers, and
// the one Close.
type outbound struct {
	conn io.Writer

	turn      chan struct{}          // holds one token while a frame is being written; back-pressure may make that long
	closeSent atomic.Bool            // set by the turn's holder
	pong      atomic.Pointer[[]byte] // the latest ping's payload, not yet answered
	sent      atomic.Uint64          // data frames written
	confirm   atomic.Uint64          // how many of them stood before the latest ping that was answered
	peerGone  atomic.Bool            // the connection ended after the peer's Close frame
}

// recordBuffers are lent: one per write in progress, none per idle connection.
var recordBuffers = sync.Pool{New: func() any { return new([recordSize]byte) }}

// message sends up to maxMessage bytes as one binary message and returns how many of
// them have left. They are masked a record at a time, in a buffer that stays in
// the processor's nearest cache.
func (o *outbound) message(payload []byte) (n int, err error) { return o.data(opBinary, payload) }

// data is message for both kinds of messages.
func (o *outbound) data(opcode byte, payload []byte) (n int, err error) {
	o.turn <- struct{}{}
	defer o.release()
	switch {
	case o.closeSent.Load():
		return 0, errCloseSent
	case o.peerGone.Load():
		return 0, ErrDropped
	}
	o.sent.Add(1)
	buf := recordBuffers.Get().(*[recordSize]byte)
	defer recordBuffers.Put(buf)
	var m mask
	m.draw()
	for record := appendHeader(buf[:0], opcode, len(payload), &m); n < len(payload); record = buf[:0] {
		// A header of eight bytes leaves a multiple of four, so every record
		// begins with the key's first byte.
		piece := payload[n:min(len(payload), n+recordSize-len(record))]
		if _, err := o.conn.Write(m.appendMasked(record, piece)); err != nil {
			return n, dropped(err)
		}
		n += len(piece)
	}
	return n, nil
}

func (o *outbound) release() { <-o.turn }

// control sends a control frame; the caller holds the turn. Nothing follows a
// Close frame.
func (o *outbound) control(opcode byte, payload []byte) error {
	switch {
	case o.closeSent.Load():
		return nil
	case o.peerGone.Load():
		return ErrDropped
	}
	if opcode == opClose {
		o.closeSent.Store(true)
	}
	if _, err := o.conn.Write(controlFrame(opcode, payload)); err != nil {
		return dropped(err)
	}
	return nil
}

// close ends the direction.
func (o *outbound) close() error {
	o.turn <- struct{}{}
	defer o.release()
	return o.control(opClose, closePayload(1000, shutdownReason))
}

// tryTurn takes the turn unless a write is in progress.
func (o *outbound) tryTurn() bool {
	select {
	case o.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// ping sends a ping and gives back the turn, which the caller has taken. Its
// payload is the number of data frames before it.
func (o *outbound) ping() {
	defer o.release()
	// A failure here is met again by the next read or write.
	_ = o.control(opPing, binary.BigEndian.AppendUint64(nil, o.sent.Load()))
}

// ponged notes the answer to a ping: the relay has taken all that stood before it.
func (o *outbound) ponged(payload []byte) {
	if len(payload) == 8 {
		o.confirm.Store(binary.BigEndian.Uint64(payload))
	}
}

// confirmed reports whether the relay has taken all data that was sent.
func (o *outbound) confirmed() bool { return o.confirm.Load() == o.sent.Load() }

// owe notes a ping to be answered (RFC 6455 §5.5.3) and reports whether the
// caller has to see to it; an answer that still waits carries the new payload.
func (o *outbound) owe(payload []byte) bool {
	payload = bytes.Clone(payload)
	return o.pong.Swap(&payload) == nil
}

// answer sends the latest answer owed, after the write in progress, which
// back-pressure may hold for minutes.
func (o *outbound) answer() {
	o.turn <- struct{}{}
	defer o.release()
	// A failure here is met again by the next read or write.
	_ = o.control(opPong, *o.pong.Swap(nil))
}

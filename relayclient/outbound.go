package relayclient

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
)

const (
	// recordSize is what one TLS record carries at most, RFC 8446 §5.1.
	recordSize = 16 << 10
	// maxMessage is how many bytes one message carries at most: with its header of eight
	// bytes it fills four TLS records. The relay passes 1 MiB and more; azbridge reads and
	// writes 64 KiB (docs/relay-protocol.md §5).
	maxMessage = 4*recordSize - 8
)

// outbound writes every frame that leaves: data, pings and their answers, and the one
// Close.
type outbound struct {
	conn  io.Writer
	state *connState // of the Conn: whether anything may still be written

	turn    chan struct{}          // holds one token while a frame is being written; back-pressure may make that minutes
	pong    atomic.Pointer[[]byte] // the latest ping's payload, not yet answered
	sent    atomic.Uint64          // data frames written
	confirm atomic.Uint64          // data frames before the latest ping that was answered
}

// recordBuffers has one per write in progress, none per idle connection.
var recordBuffers = sync.Pool{New: func() any { return new([recordSize]byte) }}

// message sends up to maxMessage bytes as one binary message.
func (o *outbound) message(payload []byte) (n int, err error) { return o.data(opBinary, payload) }

// data sends up to maxMessage bytes as one message of type opcode, and returns how many of
// them have left. They are masked a record at a time, in a buffer that stays in the
// processor's nearest cache.
func (o *outbound) data(opcode byte, payload []byte) (n int, err error) {
	o.turn <- struct{}{}
	defer o.release()
	if err := o.state.ends().writeError(); err != nil {
		return 0, err
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

// close sends the Close frame, after the write in progress. A second one is never sent,
// and is no error.
func (o *outbound) close() error {
	o.turn <- struct{}{}
	defer o.release()
	switch o.state.note(onTurn) {
	case doRefuse:
		return o.state.ends().writeError()
	case doSendClose:
		return o.control(opClose, closePayload(closeNormal, shutdownReason))
	}
	return nil
}

// control sends a control frame; the caller holds the turn.
func (o *outbound) control(opcode byte, payload []byte) error {
	if _, err := o.conn.Write(controlFrame(opcode, payload)); err != nil {
		return dropped(err)
	}
	return nil
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

// sendPing sends a ping and gives back the turn, which the caller has taken. Its payload is
// the number of data frames before it.
func (o *outbound) sendPing() {
	defer o.release()
	o.controlIfOpen(opPing, binary.BigEndian.AppendUint64(nil, o.sent.Load()))
}

// notePong takes the answer to a ping: the relay has taken all that stood before the ping.
func (o *outbound) notePong(payload []byte) {
	if len(payload) == 8 {
		o.confirm.Store(binary.BigEndian.Uint64(payload))
	}
}

// confirmed reports whether the relay has taken all data that was sent.
func (o *outbound) confirmed() bool { return o.confirm.Load() == o.sent.Load() }

// queuePong notes a ping to be answered (RFC 6455 §5.5.3) and reports whether the caller
// has to start sendPong; an answer that still waits carries the new payload instead.
func (o *outbound) queuePong(payload []byte) bool {
	payload = bytes.Clone(payload)
	return o.pong.Swap(&payload) == nil
}

// sendPong answers the latest ping, after the write in progress, which back-pressure may
// hold for minutes.
func (o *outbound) sendPong() {
	o.turn <- struct{}{}
	defer o.release()
	o.controlIfOpen(opPong, *o.pong.Swap(nil))
}

// controlIfOpen sends a ping or a pong, which do not follow a Close frame. The next read or
// write meets a failure again. The caller holds the turn.
func (o *outbound) controlIfOpen(opcode byte, payload []byte) {
	if o.state.ends().writeError() == nil {
		_ = o.control(opcode, payload)
	}
}

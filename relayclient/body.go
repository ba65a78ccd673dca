package relayclient

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
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

// errCloseSent is the fate of a Write after CloseWrite.
var errCloseSent = errors.New("relayclient: write after CloseWrite")

// closeNoStatus stands for a Close frame without a code, RFC 6455 §7.1.5.
const closeNoStatus = 1005

// body lies between the WebSocket library and the upgraded connection. The
// library reads through it and never meets a Close frame; we write, and what
// the library writes goes nowhere (see the package comment).
type body struct {
	rwc io.ReadWriteCloser

	// Read side, owned by the reading goroutine.
	scan    scanner
	readErr error // ends reading: *CloseError (any code), ErrDropped or ErrProtocol
	born    time.Time
	waiting atomic.Int64 // since when a read waits for bytes, one more than the nanoseconds after born; 0 while none does

	// Write side.
	turn      chan struct{}          // holds one token while a frame is being written; back-pressure may make that long
	closeSent atomic.Bool            // set by the turn's holder
	pong      atomic.Pointer[[]byte] // the latest ping's payload, not yet answered
	sent      atomic.Uint64          // data frames written
	confirm   atomic.Uint64          // how many of them stood before the latest ping that was answered

	peerGone atomic.Bool   // the connection ended after the peer's Close frame
	drained  chan struct{} // closed when it did

	ownerMu sync.Mutex
	closed  bool
	owned   sync.WaitGroup // goroutines that answer pings, and the one that drains
}

func newBody(rwc io.ReadWriteCloser) *body {
	return &body{rwc: rwc, born: time.Now(), turn: make(chan struct{}, 1), drained: make(chan struct{})}
}

// Read hands the library everything up to a Close frame, then an error.
func (b *body) Read(p []byte) (int, error) {
	if b.readErr != nil {
		return 0, b.readErr
	}
	b.waiting.Store(int64(time.Since(b.born)) + 1)
	n, err := b.rwc.Read(p)
	b.waiting.Store(0)
	follow, scanErr := b.scan.next(p[:n])
	switch {
	case scanErr != nil:
		b.readErr = fmt.Errorf("%w: %w", ErrProtocol, scanErr)
	case follow < n:
		b.readErr = b.readClose(p[follow:n])
		if !b.start(b.drain) {
			close(b.drained) // the connection is being closed
		}
	case err != nil:
		b.readErr = dropped(err)
	}
	if follow > 0 {
		return follow, nil
	}
	return 0, b.readErr
}

// readClose completes a Close frame that begins with head and returns what it
// says.
func (b *body) readClose(head []byte) error {
	var buf [2 + maxControlPayload]byte
	have := copy(buf[:], head)
	fill := func(want int) error {
		if have >= want {
			return nil
		}
		n, err := io.ReadFull(b.rwc, buf[have:want])
		have += n
		if err != nil {
			return dropped(err)
		}
		return nil
	}
	if err := fill(2); err != nil {
		return err
	}
	// Final, no reserved bits, unmasked, short, and no one byte code: RFC 6455 §5.5.
	length := int(buf[1])
	if buf[0] != finBit|opClose || length > maxControlPayload || length == 1 {
		return fmt.Errorf("%w: %w", ErrProtocol, errBadClose)
	}
	if err := fill(2 + length); err != nil {
		return err
	}
	if length == 0 {
		return &CloseError{Code: closeNoStatus}
	}
	code := binary.BigEndian.Uint16(buf[2:])
	if code < 1000 || code >= 5000 || code == closeNoStatus || code == 1006 || code == 1015 {
		return fmt.Errorf("%w: %w", ErrProtocol, errBadClose) // never on the wire: RFC 6455 §7.4
	}
	return &CloseError{Code: code, Reason: sanitize(string(buf[4 : 2+length]))}
}

// drain reads on after the peer's Close frame, so that a late control frame does
// not lie unread: closing a socket with unread bytes resets it, and the reset
// overtakes what we have sent. It also notices the end of the connection, after
// which nobody takes what we write.
func (b *body) drain() {
	_, _ = io.Copy(io.Discard, b.rwc)
	b.peerGone.Store(true)
	close(b.drained)
}

// waitingSince is when the read in progress began to wait; ok is false while
// nobody reads. It follows the monotonic clock, so a clock that is set does no
// harm.
func (b *body) waitingSince() (since time.Time, ok bool) {
	ns := b.waiting.Load()
	return b.born.Add(time.Duration(ns - 1)), ns != 0
}

// Write swallows what the library writes: its answer to a ping (see answerPing)
// and the Close frame with which it would pass a broken stream off as complete.
// Refusing instead would end the library's reader.
func (b *body) Write(p []byte) (int, error) { return len(p), nil }

// frames are pooled: one in flight per writing connection, none per idle one.
var frames = sync.Pool{New: func() any { return new(make([]byte, 0, maxHeader+maxMessage)) }}

// writeFrame sends one frame whole, after the one being written.
func (b *body) writeFrame(opcode byte, payload []byte) error {
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	*buf = appendFrame((*buf)[:0], opcode, payload)

	b.turn <- struct{}{}
	defer b.release()
	return b.send(opcode, *buf)
}

func (b *body) release() { <-b.turn }

// send writes a frame; the caller holds the turn. Nothing follows a Close frame:
// data fails, control frames are left out.
func (b *body) send(opcode byte, frame []byte) error {
	if b.closeSent.Load() {
		if opcode == opBinary {
			return errCloseSent
		}
		return nil
	}
	if b.peerGone.Load() {
		return ErrDropped
	}
	switch opcode {
	case opClose:
		b.closeSent.Store(true)
	case opBinary:
		b.sent.Add(1)
	}
	if _, err := b.rwc.Write(frame); err != nil {
		return dropped(err)
	}
	return nil
}

// ping sends a ping, unless a write is in progress or the direction has ended.
// Its payload is the number of data frames before it.
func (b *body) ping() (sent bool) {
	select {
	case b.turn <- struct{}{}:
		defer b.release()
	default:
		return false
	}
	if b.closeSent.Load() {
		return false
	}
	return b.send(opPing, appendFrame(nil, opPing, binary.BigEndian.AppendUint64(nil, b.sent.Load()))) == nil
}

// ponged notes the answer to a ping: the relay has taken all that stood before it.
func (b *body) ponged(payload []byte) {
	if len(payload) == 8 {
		b.confirm.Store(binary.BigEndian.Uint64(payload))
	}
}

// confirmed reports whether the relay has taken all data that was sent.
func (b *body) confirmed() bool { return b.confirm.Load() == b.sent.Load() }

// answerPing answers the latest ping (RFC 6455 §5.5.3) without making the
// reader wait: the answer queues behind a write that back-pressure may hold for
// minutes. The library would give up after five seconds and end the connection.
func (b *body) answerPing(payload []byte) {
	payload = bytes.Clone(payload)
	if b.pong.Swap(&payload) != nil {
		return // the answer that is still waiting carries this payload
	}
	b.start(func() {
		b.turn <- struct{}{}
		defer b.release()
		// A failure here is met again by the next read or write.
		_ = b.send(opPong, appendFrame(nil, opPong, *b.pong.Swap(nil)))
	})
}

// start runs f in a goroutine that Close waits for, and reports false when Close
// has begun.
func (b *body) start(f func()) bool {
	b.ownerMu.Lock()
	defer b.ownerMu.Unlock()
	if !b.closed {
		b.owned.Go(f)
	}
	return !b.closed
}

// Close closes the connection beneath, which ends a Read and a write in
// progress. It may be called again.
func (b *body) Close() error {
	b.ownerMu.Lock()
	b.closed = true
	b.ownerMu.Unlock()
	return b.rwc.Close()
}

// dropped turns an end of the connection beneath into ErrDropped with its cause.
func dropped(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDropped
	}
	return fmt.Errorf("%w: %w", ErrDropped, err)
}

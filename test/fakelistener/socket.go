package fakelistener

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

// maxCommand bounds one message on a control channel.
const maxCommand = 1 << 20

var (
	errClosed  = errors.New("listener: the socket's sending side is closed")
	errTooLong = errors.New("listener: the message is longer than this listener takes")
)

// socket is the client's end of a websocket. One goroutine may read while
// others write.
type socket struct {
	raw net.Conn
	tls *tls.Conn
	br  *bufio.Reader

	// The reader's.
	in       ws.Header // of the data frame being read
	at, left int64     // in its payload
	closed   *closeFrame
	replies  bool // a Close is answered at once with its own code and reason
	dotnet   bool // an empty data message ends the stream for whoever reads it

	maxMessage int64 // bytes that a message may have; 0 = any number
	message    int64 // bytes of the current one that were read

	mu           sync.Mutex // of what follows, and of writing
	buf          []byte
	closeSent    bool
	writeTimeout time.Duration // of one frame; 0 = none

	pong   atomic.Pointer[[]byte] // waits for mu
	gone   chan struct{}
	ending sync.Once
}

// closeFrame is the peer's Close. Code 0 stands for none.
type closeFrame struct {
	code   ws.StatusCode
	reason string
}

func newSocket(raw net.Conn, conn *tls.Conn, br *bufio.Reader) *socket {
	return &socket{raw: raw, tls: conn, br: br, gone: make(chan struct{})}
}

// Read reads the payload of data messages as one stream. It returns io.EOF
// after a Close frame, and another error when the connection is lost. With the .NET
// library an empty message is the end of the stream too: it reads 0 bytes.
func (s *socket) Read(p []byte) (int, error) {
	for s.left == 0 {
		if s.closed != nil {
			return 0, io.EOF
		}
		if err := s.nextFrame(); err != nil {
			return 0, err
		}
		if s.dotnet && s.closed == nil && s.left == 0 {
			return 0, io.EOF
		}
	}
	room := min(int64(len(p)), s.left)
	if s.maxMessage > 0 {
		if s.in.OpCode != ws.OpContinuation && s.at == 0 {
			s.message = 0
		}
		if room = min(room, s.maxMessage-s.message); room == 0 {
			return 0, errTooLong
		}
	}
	n, err := s.br.Read(p[:room])
	if s.in.Masked {
		ws.Cipher(p[:n], s.in.Mask, int(s.at%4))
	}
	s.at += int64(n)
	s.left -= int64(n)
	s.message += int64(n)
	return n, noEOF(err)
}

// readMessage reads one whole message.
func (s *socket) readMessage() ([]byte, error) {
	var message []byte
	for {
		if err := s.nextFrame(); err != nil {
			return nil, err
		}
		switch {
		case s.closed != nil:
			return nil, fmt.Errorf("listener: closed by the relay: %d %s", s.closed.code, s.closed.reason)
		case int64(len(message))+s.left > maxCommand:
			return nil, errors.New("listener: message too big")
		}
		payload := make([]byte, s.left)
		if _, err := io.ReadFull(s.br, payload); err != nil {
			return nil, noEOF(err)
		}
		s.left = 0
		message = append(message, payload...)
		if s.in.Fin {
			return message, nil
		}
	}
}

// noEOF keeps the loss of the connection from looking like an end in order.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// nextFrame goes on to the next data frame or Close.
func (s *socket) nextFrame() error {
	for {
		h, err := ws.ReadHeader(s.br)
		if err != nil {
			return noEOF(err)
		}
		if h.Masked || h.Rsv != 0 || h.OpCode.IsReserved() {
			return fmt.Errorf("listener: the relay sent a frame it may not send: %+v", h)
		}
		if !h.OpCode.IsControl() {
			s.in, s.at, s.left = h, 0, h.Length
			return nil
		}
		if h.Length > ws.MaxControlFramePayloadSize || !h.Fin {
			return errors.New("listener: the relay sent a bad control frame")
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(s.br, payload); err != nil {
			return noEOF(err)
		}
		switch h.OpCode {
		case ws.OpPing:
			s.pong.Store(&payload)
			s.flushPong()
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(payload)
			s.closed = &closeFrame{code, reason}
			if s.replies {
				s.writeFrame(ws.OpClose, payload)
			}
			return nil
		}
	}
}

// Write sends p as one binary message. It never sends an empty one: .NET
// readers would take it for the end.
func (s *socket) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.writeFrame(ws.OpBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sendClose ends our direction with Close 1000. A second call has no effect.
func (s *socket) sendClose(reason string) error { return s.sendCode(ws.StatusNormalClosure, reason) }

// sendCode ends our direction with a Close of that code. A second call has no effect.
func (s *socket) sendCode(code ws.StatusCode, reason string) error {
	err := s.writeFrame(ws.OpClose, ws.NewCloseFrameBody(code, reason))
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// writeFrame sends one masked frame; a Close is the last one.
func (s *socket) writeFrame(op ws.OpCode, payload []byte) error {
	s.mu.Lock()
	err := s.writeLocked(op, payload)
	s.mu.Unlock()
	s.flushPong()
	return err
}

func (s *socket) writeLocked(op ws.OpCode, payload []byte) error {
	if s.closeSent {
		return errClosed
	}
	s.closeSent = op == ws.OpClose
	var mask [4]byte
	binary.NativeEndian.PutUint32(mask[:], rand.Uint32())
	b := append(s.buf[:0], 0x80|byte(op))
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 0x80|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, mask[:]...)
	start := len(b)
	b = append(b, payload...)
	ws.Cipher(b[start:], mask, 0)
	s.buf = b
	if s.writeTimeout > 0 {
		s.raw.SetWriteDeadline(time.Now().Add(s.writeTimeout))
	}
	_, err := s.tls.Write(b)
	return err
}

// flushPong answers the newest ping, now or when the writer at work has
// finished, so that reading never waits for writing.
func (s *socket) flushPong() {
	for s.pong.Load() != nil && s.mu.TryLock() {
		if payload := s.pong.Swap(nil); payload != nil {
			s.writeLocked(ws.OpPong, *payload)
		}
		s.mu.Unlock()
	}
}

// keepAlive sends unsolicited Pongs, as the .NET library does, until the
// socket is dropped or its sending side closed.
func (s *socket) keepAlive(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if s.writeFrame(ws.OpPong, nil) != nil {
				return
			}
		case <-s.gone:
			return
		}
	}
}

// drop ends the TCP connection without a Close.
func (s *socket) drop() {
	s.ending.Do(func() { close(s.gone) })
	s.raw.Close()
}

// finish ends a connection whose directions have both been closed.
func (s *socket) finish() {
	s.ending.Do(func() { close(s.gone) })
	s.tls.Close()
}

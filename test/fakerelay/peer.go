package fakerelay

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

var errIdle = errors.New("relay: idle for too long")

// peer is one client's TLS connection, before and after its upgrade.
type peer struct {
	raw net.Conn
	tls *tls.Conn
	br  *bufio.Reader
	hdr [ws.MaxHeaderSize]byte // the reader's scratch

	// After the upgrade.
	extended bool // an extension was agreed, so that data frames may have RSV bits
	out      *outbox
	finished chan struct{} // closed when nothing more will come: after a Close, or at the end
	finish   func()        // closes it, once or more often
	seen     atomic.Int64  // when a frame last came or went, in Unix ns

	pongEvery time.Duration
	pingEvery time.Duration // 0 = never
	idleCut   time.Duration // 0 = never
	delayPong time.Duration
	noPong    bool
}

func newPeer(raw net.Conn, config *tls.Config) *peer {
	conn := tls.Server(raw, config)
	return &peer{raw: raw, tls: conn, br: bufio.NewReader(conn)}
}

// upgrade makes p a websocket; its owner then runs write.
func (p *peer) upgrade(s *Server) {
	p.raw.SetDeadline(time.Time{})
	p.out = newOutbox(s.buffer(), &s.rings)
	p.finished = make(chan struct{})
	p.finish = sync.OnceFunc(func() { close(p.finished) })
	p.pongEvery = s.pongInterval()
	p.touch()
}

// touch notes traffic, for IdleCut: all that comes, and data that goes. What the
// relay sends by the clock keeps nothing open.
func (p *peer) touch() {
	if p.idleCut > 0 {
		p.seen.Store(time.Now().UnixNano())
	}
}

// readHeader reads the next frame's header and checks what RFC 6455 demands
// of a client, of one without extensions unless p is extended.
func (p *peer) readHeader() (ws.Header, error) {
	h, err := ws.ReadHeaderBuffer(p.br, p.hdr[:])
	if err != nil {
		return h, err
	}
	p.touch()
	switch {
	case !h.Masked:
		return h, ws.ErrProtocolMaskRequired
	case h.Rsv != 0 && !(p.extended && !h.OpCode.IsControl()):
		return h, ws.ErrProtocolNonZeroRsv
	case h.OpCode.IsReserved():
		return h, ws.ErrProtocolOpCodeReserved
	case h.OpCode.IsControl() && !h.Fin:
		return h, ws.ErrProtocolControlNotFinal
	case h.OpCode.IsControl() && h.Length > ws.MaxControlFramePayloadSize:
		return h, ws.ErrProtocolControlPayloadOverflow
	}
	return h, nil
}

// readPayload reads a whole small frame.
func (p *peer) readPayload(h ws.Header) ([]byte, error) {
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p.br, payload); err != nil {
		return nil, err
	}
	ws.Cipher(payload, h.Mask, 0)
	return payload, nil
}

// pong answers a ping. It never waits.
func (p *peer) pong(payload []byte) {
	if p.noPong {
		return
	}
	frame := compile(ws.OpPong, payload)
	if p.delayPong > 0 {
		time.AfterFunc(p.delayPong, func() { p.out.answer(frame) })
		return
	}
	p.out.answer(frame)
}

// endFrame completes a data frame of size bytes. If that is all there is and
// little, the caller writes it: latency is measured with small frames, which need
// not wait for the writer to wake up. Of a stream, the next bytes are read while
// the writer writes.
func (p *peer) endFrame(size int64) {
	const little = 4 << 10
	if queued := p.out.end(); size <= little && queued <= little && !p.flush() {
		return
	}
	signal(p.out.wake)
}

// flush writes what is queued, and reports that nothing will follow.
func (p *peer) flush() (done bool) {
	for {
		b, done := p.out.next()
		if b == nil {
			return done
		}
		_, err := p.tls.Write(b)
		p.out.release(len(b), err)
	}
}

// write sends what comes into the outbox until that has ended, and then
// returns nil. It also sends the frames that are due by the clock.
func (p *peer) write() error {
	defer close(p.out.drained)
	pong := time.NewTicker(p.pongEvery)
	defer pong.Stop()
	var ping, idle <-chan time.Time
	if p.pingEvery > 0 {
		t := time.NewTicker(p.pingEvery)
		defer t.Stop()
		ping = t.C
	}
	if p.idleCut > 0 {
		t := time.NewTicker(max(p.idleCut/8, time.Millisecond))
		defer t.Stop()
		idle = t.C
	}
	for {
		if p.flush() {
			return p.out.failure()
		}
		select {
		case <-p.out.wake:
		case <-p.out.quit:
			return errOutboxEnded
		case <-pong.C:
			p.out.answer(compile(ws.OpPong, nil))
		case <-ping:
			p.out.control(compile(ws.OpPing, []byte("relay")))
		case now := <-idle:
			if now.UnixNano()-p.seen.Load() >= int64(p.idleCut) {
				return errIdle
			}
		}
	}
}

// drop ends the TCP connection without a Close frame and without TLS's
// close_notify, so that it cannot be taken for an orderly end.
func (p *peer) drop() {
	if p.out != nil {
		p.out.stop()
	}
	p.raw.Close()
}

// close ends the connection in order.
func (p *peer) close() {
	if p.out != nil {
		p.out.stop()
	}
	p.tls.Close()
}

// compile makes an unmasked control frame.
func compile(op ws.OpCode, payload []byte) []byte {
	frame := make([]byte, 2, 2+len(payload))
	frame[0] = 0x80 | byte(op)
	frame[1] = byte(len(payload))
	return append(frame, payload...)
}

func closeFrame(code int, reason string) []byte {
	return compile(ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

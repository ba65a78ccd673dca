package fakerelay

import (
	"errors"
	"sync/atomic"

	"github.com/gobwas/ws"
)

var errCut = errors.New("relay: cut by a fault")

// shape alters the frames on their way to the sender as a Fault wants it. It
// belongs to the reader of the listener's socket.
type shape struct {
	Fault
	sent int64 // bytes of payload
	open bool  // the merged message has begun
}

// left is how many bytes may pass before the cut; ok is false without one.
func (f *shape) left() (n int64, ok bool) {
	at := f.dropAt()
	if at == 0 {
		at = f.CloseAfter
	}
	return max(at, 0) - f.sent, at != 0
}

// atOnce carries out a cut that comes before any byte.
func (f *shape) atOnce(p *pair) error {
	if left, ok := f.left(); !ok || left > 0 {
		return nil
	}
	if f.TruncateAfter != 0 {
		if err := f.header(p.sender, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: 1}); err != nil {
			return err
		}
	}
	return f.cut(p)
}

// cut does what is due when the last byte has passed.
func (f *shape) cut(p *pair) error {
	if f.dropAt() != 0 {
		return errCut
	}
	f.finishMessage(p.sender)
	p.endDirection(p.sender, closeFrame(f.closeCode(), f.CloseReason))
	return nil
}

// header sends a frame's header alone.
func (f *shape) header(dst *peer, h ws.Header) error {
	if err := dst.out.begin(); err != nil {
		return err
	}
	if err := dst.out.write(appendHeader(nil, h)); err != nil {
		return err
	}
	if h.Length == 0 {
		dst.endFrame(0)
	}
	return nil
}

// finishMessage ends the merged message, so that a Close may follow it.
func (f *shape) finishMessage(dst *peer) {
	if f.Merge && f.open {
		f.open = false
		f.header(dst, ws.Header{Fin: true, OpCode: ws.OpContinuation})
	}
}

// kind completes type and FIN bit of a frame about to be sent.
func (f *shape) kind(h ws.Header) ws.Header {
	if f.TextMessages && h.OpCode == ws.OpBinary {
		h.OpCode = ws.OpText
	}
	if f.Merge {
		if f.open {
			h.OpCode = ws.OpContinuation
		}
		h.Fin, f.open = false, true
	}
	return h
}

// forward passes one frame of the listener's on, in the pieces wanted.
func (f *shape) forward(p *pair, in ws.Header, count *atomic.Int64) error {
	if f.EmptyMessages && in.OpCode != ws.OpContinuation {
		if err := f.header(p.sender, f.kind(ws.Header{Fin: true, OpCode: in.OpCode})); err != nil && !errors.Is(err, errOutboxEnded) {
			return err
		}
	}
	op := in.OpCode
	for at := int64(0); ; {
		n := in.Length - at
		if f.Fragment > 0 {
			n = min(n, int64(f.Fragment))
		}
		out := ws.Header{Fin: in.Fin && at+n == in.Length, OpCode: op, Length: n}
		if at == 0 {
			out.Rsv = in.Rsv
		}
		left, ok := f.left()
		last := ok && n >= left
		if last {
			n, out.Fin = left, true
			out.Length = n
			if f.TruncateAfter != 0 {
				out.Length = max(in.Length-at, n+1)
			}
		}
		if err := forwardFrame(p.listener, p.sender, f.kind(out), in, at, n, count); err != nil {
			return err
		}
		f.sent += n
		at += n
		op = ws.OpContinuation
		if last {
			if err := f.cut(p); err != nil {
				return err
			}
			f.DropAfter, f.TruncateAfter, f.CloseAfter = 0, 0, 0
		}
		if at == in.Length {
			return nil
		}
	}
}

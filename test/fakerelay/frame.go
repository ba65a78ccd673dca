package fakerelay

import (
	"sync/atomic"

	"github.com/gobwas/ws"
)

// messageOrder follows which frame may come next (RFC 6455 section 5.4).
type messageOrder struct{ open bool }

func (o *messageOrder) check(h ws.Header) error {
	switch {
	case h.OpCode.IsControl():
		return nil
	case h.OpCode == ws.OpContinuation && !o.open:
		return ws.ErrProtocolContinuationUnexpected
	case h.OpCode != ws.OpContinuation && o.open:
		return ws.ErrProtocolContinuationExpected
	}
	o.open = !h.Fin
	return nil
}

// forwardFrame sends dst a frame with the header out and n bytes, which are
// read from src and begin at offset at of in's payload. They are passed on
// while they arrive. When nothing more may be sent to dst they are thrown away.
func forwardFrame(src, dst *peer, out, in ws.Header, at, n int64, count *atomic.Int64) error {
	var header [ws.MaxHeaderSize]byte
	whole := n == out.Length // else nothing may follow but the end of the connection
	err := dst.out.begin()
	if err == nil {
		err = dst.out.write(appendHeader(header[:0], out))
	}
	for n > 0 && err == nil {
		var room []byte
		if room, err = dst.out.reserve(int(min(n, 1<<30))); err != nil {
			break
		}
		m, readErr := src.br.Read(room)
		ws.Cipher(room[:m], in.Mask, int(at%4))
		dst.out.commit(m)
		count.Add(int64(m))
		src.touch()
		dst.touch()
		at += int64(m)
		n -= int64(m)
		if readErr != nil {
			return readErr
		}
		if n > 0 {
			signal(dst.out.wake)
		}
	}
	for n > 0 {
		m, err := src.br.Discard(int(min(n, 1<<30)))
		if n -= int64(m); err != nil {
			return err
		}
	}
	if err == nil && whole {
		dst.endFrame(out.Length)
	}
	return nil
}

// appendHeader encodes an unmasked frame's header (RFC 6455 section 5.2).
func appendHeader(b []byte, h ws.Header) []byte {
	first := byte(h.OpCode) | h.Rsv<<4
	if h.Fin {
		first |= 0x80
	}
	switch n := h.Length; {
	case n <= 125:
		return append(b, first, byte(n))
	case n <= 0xffff:
		return append(b, first, 126, byte(n>>8), byte(n))
	default:
		return append(b, first, 127, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

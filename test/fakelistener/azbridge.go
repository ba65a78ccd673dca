package fakelistener

import (
	"context"
	"io"
	"strconv"
)

// serveAzbridge reads the two messages with which azbridge -L begins, version
// and port name, answers with three bytes, and only then dials.
func (l *Listener) serveAzbridge(ctx context.Context, s *socket) {
	var head [4]byte // major 1, minor 0, mode 0 = stream, length of the name
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return
	}
	if head[0] != 1 || head[1] != 0 {
		s.Write([]byte{0, 0, 0})
		l.closeAsync(s)
		return
	}
	name := make([]byte, head[3])
	if _, err := io.ReadFull(s, name); err != nil {
		return
	}
	_, err := strconv.Atoi(string(name))
	switch {
	case len(l.Answer) > 0:
		s.Write(l.Answer)
		l.closeAsync(s)
		return
	case l.PortName != "" && string(name) != l.PortName && err != nil: // its only port answers to every number
		l.closeWith(s, "Shutdown", l.closeWait())
		return
	case head[2] != 0:
		s.Write([]byte{0, 0, 0xff})
		l.closeAsync(s)
		return
	}
	if _, err := s.Write([]byte{1, 0, head[2]}); err != nil {
		return
	}
	l.serveHalfClose(ctx, s)
}

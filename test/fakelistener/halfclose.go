package fakelistener

import (
	"context"
	"io"
	"net"
	"sync"
)

// serveHalfClose passes each end of stream on as such.
func (l *Listener) serveHalfClose(ctx context.Context, s *socket) {
	target, ok := l.dial(ctx, s)
	if !ok {
		return
	}
	l.joinHalfClose(ctx, s, target)
}

// joinHalfClose owns target. Each direction ends on its own; an error in one
// ends both, with a reset for the target and no Close for the relay.
func (l *Listener) joinHalfClose(ctx context.Context, s *socket, target net.Conn) {
	abort := func() { breakBoth(s, target) }
	stop := context.AfterFunc(ctx, abort)
	defer stop()
	var pumps sync.WaitGroup
	pumps.Go(func() {
		if _, err := io.CopyBuffer(onlyWriter{target}, onlyReader{s}, make([]byte, 64<<10)); err != nil {
			abort()
			return
		}
		if half, ok := target.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	})
	pumps.Go(func() {
		if _, err := io.CopyBuffer(onlyWriter{s}, onlyReader{target}, make([]byte, 64<<10)); err != nil {
			abort()
			return
		}
		if s.sendClose("Shutdown") != nil {
			abort()
		}
	})
	pumps.Wait()
	target.Close()
	s.finish()
}

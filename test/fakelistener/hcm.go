package fakelistener

import (
	"context"
	"io"
	"sync"
)

// serveHCM copies in both directions until both have ended, and only then
// closes anything.
func (l *Listener) serveHCM(ctx context.Context, s *socket) {
	target, ok := l.dial(ctx, s)
	if !ok {
		return
	}
	defer target.Close()
	stop := context.AfterFunc(ctx, func() { breakBoth(s, target) })
	defer stop()

	var pumps sync.WaitGroup
	pumps.Go(func() {
		// Errors end a pump like the end of the stream: the original
		// swallows them, a lost connection included.
		io.CopyBuffer(onlyWriter{target}, onlyReader{s}, make([]byte, 16<<10))
	})
	pumps.Go(func() {
		io.CopyBuffer(onlyWriter{s}, onlyReader{target}, make([]byte, 16<<10))
	})
	pumps.Wait()
	l.closeAsync(s)
}

// onlyWriter hides ReadFrom from io.CopyBuffer, which would use its own size.
type onlyWriter struct{ io.Writer }

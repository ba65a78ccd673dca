package fakelistener

import (
	"context"
	"io"
	"sync"
	"time"
)

// nodeCloseWait is how long hyco-ws waits for the answer to a Close.
const nodeCloseWait = 30 * time.Second

// serveNodeLike ends both directions when either ends: the peer's Close is
// answered with its own code and reason and the socket ended, and the target's end is a
// Close of everything.
func (l *Listener) serveNodeLike(ctx context.Context, s *socket) {
	s.replies = true
	target, ok := l.dial(ctx, s)
	if !ok {
		return
	}
	defer target.Close()
	stop := context.AfterFunc(ctx, func() { breakBoth(s, target) })
	defer stop()

	var pumps sync.WaitGroup
	pumps.Go(func() {
		if _, err := io.CopyBuffer(onlyWriter{target}, onlyReader{s}, make([]byte, 64<<10)); err != nil {
			s.drop()
		} else {
			s.finish()
		}
		target.Close()
	})
	pumps.Go(func() {
		_, err := io.CopyBuffer(onlyWriter{s}, onlyReader{target}, make([]byte, 64<<10))
		if err != nil {
			s.drop()
			return
		}
		s.raw.SetReadDeadline(time.Now().Add(nodeCloseWait))
		s.sendClose("")
	})
	pumps.Wait()
}

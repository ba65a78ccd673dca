package fakerelay

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gobwas/ws"
)

const shuttingDown = "The relay is shutting down"

// Drain ends the service in order. Control channels get Close 1001 and senders
// that wait 503, new connections are not taken, and those that are joined go on
// until they end or ctx does. What is open then gets Close 1011: to whoever reads
// it, its stream is cut and not complete. Drain is for one call during Serve, and
// returns when everything is closed or does not answer; Serve goes on until its
// own context ends.
func (s *Server) Drain(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	if s.ln != nil { // nil before Serve has begun
		s.ln.Close()
	}
	var channels []*channel
	for path := range s.hybrids {
		channels = append(channels, s.dismissLocked(path)...)
	}
	for id, p := range s.pending {
		delete(s.pending, id)
		p.answers <- rendezvous{status: http.StatusServiceUnavailable, phrase: s.trackedPhrase(p.sender, shuttingDown)}
	}
	s.mu.Unlock()
	for _, c := range channels {
		c.endTracked(int(ws.StatusGoingAway), shuttingDown)
	}

	s.emptied(ctx)
	s.mu.Lock()
	pairs := slices.Collect(maps.Keys(s.pairs))
	s.mu.Unlock()
	for _, p := range pairs {
		p.shutDown()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*closeWait)
	defer cancel()
	s.emptied(ctx)
}

// emptied waits until there are no joined connections and no control channels.
func (s *Server) emptied(ctx context.Context) {
	for {
		s.mu.Lock()
		empty := len(s.pairs) == 0 && len(s.controls) == 0
		s.mu.Unlock()
		if empty {
			return
		}
		select {
		case <-s.left:
		case <-ctx.Done():
			return
		}
	}
}

// shutDown closes both directions on the relay's own account.
func (p *pair) shutDown() {
	frame := closeFrame(int(ws.StatusInternalServerError), trackedReason(shuttingDown, p.id))
	p.mu.Lock()
	p.farewell = true
	p.mu.Unlock()
	p.endDirection(p.sender, frame)
	p.endDirection(p.listener, frame)
}

// linger reads on, after shutDown, until both peers have closed. Unread, what they
// still send would turn the end into a reset, which takes the Close with it.
func (p *pair) linger() {
	p.mu.Lock()
	farewell := p.farewell && !p.lost
	p.mu.Unlock()
	if !farewell {
		return
	}
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	for _, x := range []*peer{p.sender, p.listener} {
		select {
		case <-x.finished:
		case <-timer.C:
			return
		}
	}
}

// abandonLocked answers the senders that were told to a control channel which
// has died. One that the relay has closed itself leaves its listener able to come.
func (s *Server) abandonLocked(c *channel) {
	if c.dismissed.Load() {
		return
	}
	for id, p := range s.pending {
		if p.listener == c {
			delete(s.pending, id)
			p.answers <- rendezvous{status: http.StatusBadGateway, phrase: s.trackedPhrase(p.sender, "The listener was lost before it accepted the connection")}
		}
	}
}

// trackedReason is the reason of a Close that the relay makes itself: text, cut
// where the frame would be too long (RFC 6455 section 5.5), and the tracking id.
func trackedReason(text, id string) string {
	const room = ws.MaxControlFramePayloadSize - 2 // for the code
	tracking := ". TrackingId:" + id[:min(len(id), 64)] + "_G0"
	return text[:min(len(text), room-len(tracking))] + tracking
}

package fakerelay

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

const (
	// defaultTokenGrace is how long the service was seen to keep a channel whose token has expired.
	defaultTokenGrace = 5 * time.Minute
	// closeWait bounds the wait for the answer to a Close.
	closeWait = 2 * time.Second
	// maxCommand bounds what a listener may send as one message; the protocol's own limit is 64 kB.
	maxCommand = 128 << 10
)

// channel is the control channel of one listener.
type channel struct {
	*peer
	id        string // sb-hc-id of its handshake
	host      string // for accept addresses
	path      string
	anonymous bool
	dismissed atomic.Bool // the relay has closed it

	mu     sync.Mutex
	expiry *time.Timer // nil when the token has no end
}

// listen serves a listener's control channel until it ends.
func (s *Server) listen(r *request) verdict {
	expires, no := s.authorize(r, r.path, toListen)
	if no.status != 0 {
		return s.refuse(r, no.status, no.text)
	}
	if bad := r.badUpgrade(); bad != "" {
		return s.refuse(r, http.StatusBadRequest, bad)
	}
	if r.id == "" {
		r.id = newGUID()
	}
	c := &channel{peer: r.peer, id: r.id, host: s.Hostname, path: r.path}
	if c.host == "" {
		c.host = r.Host
	}
	c.upgrade(s)
	c.idleCut = s.IdleCut
	c.touch()
	if no := s.enlist(c, r); no.status != 0 {
		return s.refuse(r, no.status, no.text)
	}
	defer s.leave(c)
	s.keepUntil(c, expires)
	defer s.keepUntil(c, time.Time{})
	s.wg.Go(func() {
		if err := c.write(); err != nil {
			c.drop()
			return
		}
		// A Close has been sent; the reader waits for the answer.
		c.raw.SetReadDeadline(time.Now().Add(closeWait))
	})
	s.logger().Info("listener online", "entity", c.path, "remote", c.raw.RemoteAddr())
	err := s.commands(c, r.Host)
	c.raw.SetWriteDeadline(time.Now().Add(closeWait))
	c.out.finish(nil)
	<-c.out.drained
	s.logger().Info("listener offline", "entity", c.path, "remote", c.raw.RemoteAddr(), "error", err)
	return closeConn
}

// enlist completes the handshake under the lock, so that no invitation
// overtakes the 101 and the count is exact.
func (s *Server) enlist(c *channel, r *request) refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, _ := s.lookup(c.path)
	switch {
	case s.draining:
		return refusal{http.StatusServiceUnavailable, shuttingDown}
	case h == nil:
		return refusal{http.StatusNotFound, "Endpoint does not exist"}
	case len(h.listeners) >= maxListeners:
		return refusal{http.StatusForbidden, "The number of listeners has reached its limit of 25"}
	}
	c.anonymous = h.Anonymous
	if err := s.switchProtocols(r, choices{}, nil); err != nil {
		return refusal{http.StatusInternalServerError, "The listener is gone"}
	}
	h.listeners = append(h.listeners, c)
	s.controls[c] = struct{}{}
	return refusal{}
}

func (s *Server) leave(c *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hybrids {
		h.remove(c)
	}
	delete(s.controls, c)
	signal(s.left)
	s.abandonLocked(c)
}

// commands reads a control channel until it ends.
func (s *Server) commands(c *channel, host string) error {
	var message []byte
	for {
		h, err := c.readHeader()
		if protocol, ok := errors.AsType[ws.ProtocolError](err); ok {
			c.out.finish(closeFrame(int(ws.StatusProtocolError), trackedReason(protocol.Error(), c.id)))
		}
		if err != nil {
			return err
		}
		if h.Length > maxCommand || int64(len(message))+h.Length > maxCommand {
			c.out.finish(closeFrame(int(ws.StatusMessageTooBig), trackedReason("The message is too big", c.id)))
			return errors.New("relay: command too big")
		}
		payload, err := c.readPayload(h)
		if err != nil {
			return err
		}
		switch h.OpCode {
		case ws.OpPing:
			c.pong(payload)
		case ws.OpPong:
		case ws.OpClose:
			c.out.finish(compile(ws.OpClose, payload[:min(2, len(payload))]))
			return nil
		default:
			message = append(message, payload...)
			if h.Fin {
				s.command(c, host, message)
				message = message[:0]
			}
		}
	}
}

// command carries out renewToken, the only one a listener of streams has.
func (s *Server) command(c *channel, host string, message []byte) {
	var m struct {
		RenewToken *struct{ Token string }
	}
	if err := json.Unmarshal(message, &m); err != nil || m.RenewToken == nil {
		return
	}
	expires, no := s.authorizeToken(m.RenewToken.Token, host, c.path, toListen)
	if no.status != 0 {
		s.logger().Info("token renewal refused", "entity", c.path, "reason", no.text)
		c.endTracked(int(ws.StatusPolicyViolation), no.text)
		return
	}
	s.keepUntil(c, expires)
}

// keepUntil lets the channel live as long as its token, and the grace. The zero
// time is no end.
func (s *Server) keepUntil(c *channel, expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry != nil {
		c.expiry.Stop()
	}
	if !expires.IsZero() {
		c.expiry = time.AfterFunc(expires.Sub(s.now())+s.tokenGrace(), c.expire)
	}
}

func (c *channel) expire() {
	c.endTracked(int(ws.StatusPolicyViolation), "ExpiredToken: The token is expired")
}

// end sends a Close frame; the reader ends when it is answered. Code 0 drops
// the socket instead.
func (c *channel) end(code int, reason string) {
	if code == 0 {
		c.drop()
		return
	}
	c.dismissed.Store(true)
	c.out.finish(closeFrame(code, reason))
}

// endTracked is end with a reason of the relay's own.
func (c *channel) endTracked(code int, text string) { c.end(code, trackedReason(text, c.id)) }

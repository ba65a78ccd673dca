package fakerelay

import (
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// Entity is a hybrid connection.
type Entity struct {
	Path         string // may contain slashes, neither first nor last
	Anonymous    bool   // senders need no token ("requires client authorization" is off)
	UserMetadata string // as in the portal: [{"key":"endpoint","value":"host:port"}]
	Rules        []Rule
	Created      time.Time // as the description tells it; zero = when it is added
}

// Rule is an authorization rule: a named key and what its holder may do.
type Rule struct {
	Name, Key    string
	Secondary    string // another key that is as good; empty = none
	Listen, Send bool
}

// hybrid is a registered Entity and what goes on at it. Server.mu guards it.
type hybrid struct {
	Entity
	created, updated time.Time // by the relay's clock
	listeners        []*channel
}

// AddEntity creates e, or replaces the settings of an entity of that path. It
// may be called before and during Serve.
func (s *Server) AddEntity(e Entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(e)
}

func (s *Server) addLocked(e Entity) {
	if s.hybrids == nil {
		s.hybrids = map[string]*hybrid{}
	}
	now := s.now()
	created := e.Created
	if created.IsZero() {
		created = now
	}
	if h := s.hybrids[s.key(e.Path)]; h != nil {
		h.Entity, h.updated = e, now
		return
	}
	s.hybrids[s.key(e.Path)] = &hybrid{Entity: e, created: created, updated: created}
}

// DeleteEntity removes an entity. Its listeners get Close 1001; joined
// connections go on.
func (s *Server) DeleteEntity(path string) {
	s.mu.Lock()
	channels := s.dismissLocked(path)
	delete(s.hybrids, s.key(path))
	s.mu.Unlock()
	for _, c := range channels {
		c.endTracked(int(ws.StatusGoingAway), "The endpoint was deleted")
	}
}

// CloseListeners ends all control channels of an entity with a Close frame, as
// the service does when it recycles them (1011). Code 0 drops them without one.
func (s *Server) CloseListeners(path string, code int, reason string) {
	s.mu.Lock()
	channels := s.dismissLocked(path)
	s.mu.Unlock()
	for _, c := range channels {
		c.end(code, reason)
	}
}

// key is what a path is compared by.
func (s *Server) key(path string) string {
	if s.IgnoreNameCase {
		return strings.ToLower(path)
	}
	return path
}

func (s *Server) dismissLocked(path string) []*channel {
	h := s.hybrids[s.key(path)]
	if h == nil {
		return nil
	}
	channels := h.listeners
	h.listeners = nil
	return channels
}

// ListenerCount is the number of control channels that are up for an entity.
func (s *Server) ListenerCount(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hybrids[s.key(path)]; h != nil {
		return len(h.listeners)
	}
	return 0
}

// lookup finds the entity with the longest path that is path or a parent of it
// and returns the rest, which begins with a slash if it is not empty.
func (s *Server) lookup(path string) (h *hybrid, rest string) {
	for name := path; name != ""; {
		if h := s.hybrids[s.key(name)]; h != nil {
			return h, path[len(name):]
		}
		name = name[:max(0, strings.LastIndexByte(name, '/'))]
	}
	return nil, ""
}

func (h *hybrid) remove(c *channel) {
	h.listeners = slices.DeleteFunc(h.listeners, func(o *channel) bool { return o == c })
}

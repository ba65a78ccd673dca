package fakerelay

import (
	"net/http"
	"strconv"
	"strings"
)

// rendezvous serves a listener that comes to the address of an accept command.
// The id in it is the only credential, and holds once.
func (s *Server) rendezvous(r *request) verdict {
	s.mu.Lock()
	p := s.pending[r.id]
	s.mu.Unlock()
	if p == nil {
		return s.refuse(r, http.StatusForbidden, "The rendezvous address is not valid or has expired")
	}
	if status, phrase, ok := s.rejection(r); ok {
		if !s.withdraw(r.id) {
			return s.refuse(r, http.StatusForbidden, "The rendezvous address is not valid or has expired")
		}
		p.answers <- rendezvous{status: status, phrase: phrase}
		return s.refuse(r, http.StatusGone, "The connection was rejected by the listener")
	}
	if bad := r.badUpgrade(); bad != "" {
		return s.refuse(r, http.StatusBadRequest, bad)
	}
	if !s.withdraw(r.id) {
		return s.refuse(r, http.StatusForbidden, "The rendezvous address is not valid or has expired")
	}
	protocol := choose(p.sender.Header, r.Header)
	r.peer.upgrade(s)
	if err := s.switchProtocols(r, protocol, nil); err != nil {
		p.answers <- rendezvous{status: http.StatusBadGateway, phrase: s.trackedPhrase(p.sender, "The listener was lost")}
		return closeConn
	}
	p.answers <- rendezvous{peer: r.peer, protocol: protocol}
	return handedOver
}

// rejection is what the listener wants the sender to be answered.
func (s *Server) rejection(r *request) (status int, phrase string, ok bool) {
	prefix := "sb-hc-"
	if s.NodeRejects && !r.query.Has("sb-hc-statusCode") {
		prefix = ""
	}
	status, err := strconv.Atoi(r.query.Get(prefix + "statusCode"))
	return status, r.query.Get(prefix + "statusDescription"), err == nil && status >= 200 && status <= 999
}

// choose is the first subprotocol the listener asks for that the sender offered.
func choose(offered, asked http.Header) string {
	for _, line := range asked.Values("Sec-WebSocket-Protocol") {
		for protocol := range strings.SplitSeq(line, ",") {
			protocol = strings.TrimSpace(protocol)
			if hasToken(offered, "Sec-WebSocket-Protocol", protocol) {
				return protocol
			}
		}
	}
	return ""
}

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
		if status == 0 {
			status, phrase = http.StatusBadGateway, s.trackedPhrase(p.sender, "The listener rejected the connection without a valid status")
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
	chosen := choices{
		protocol:  choose(p.sender.Header, r.Header, "Sec-WebSocket-Protocol"),
		extension: choose(p.sender.Header, r.Header, "Sec-WebSocket-Extensions"),
	}
	r.peer.upgrade(s)
	r.peer.extended = chosen.extension != ""
	if err := s.switchProtocols(r, chosen, nil); err != nil {
		p.answers <- rendezvous{status: http.StatusBadGateway, phrase: s.trackedPhrase(p.sender, "The listener was lost")}
		return closeConn
	}
	p.answers <- rendezvous{peer: r.peer, choices: chosen}
	return handedOver
}

// rejection is what the listener wants the sender to be answered. Whoever names a
// status rejects, whatever that is: a sender must never take it for an accept.
func (s *Server) rejection(r *request) (status int, phrase string, ok bool) {
	prefix := "sb-hc-"
	text, ok := r.parameter(prefix + "statusCode")
	if !ok && s.NodeRejects {
		prefix = ""
		text, ok = r.parameter("statusCode")
	}
	if !ok {
		return 0, "", false
	}
	status, err := strconv.Atoi(text)
	if err != nil || status < 200 || status > 999 {
		return 0, "", true
	}
	phrase, described := r.parameter(prefix + "statusDescription")
	if !described {
		phrase = http.StatusText(status)
	}
	return status, phrase, true
}

// choices is what a listener takes of what its sender offered.
type choices struct{ protocol, extension string }

// choose is the first item of the listener's header that the sender's header of
// that name offers as well, as the listener wrote it. The parameters of an
// extension are the listener's.
func choose(offered, asked http.Header, name string) string {
	for _, line := range asked.Values(name) {
		for item := range strings.SplitSeq(line, ",") {
			item = strings.TrimSpace(item)
			token, _, _ := strings.Cut(item, ";")
			for _, line := range offered.Values(name) {
				for offer := range strings.SplitSeq(line, ",") {
					offer, _, _ = strings.Cut(offer, ";")
					if token != "" && strings.EqualFold(strings.TrimSpace(offer), strings.TrimSpace(token)) {
						return item
					}
				}
			}
		}
	}
	return ""
}

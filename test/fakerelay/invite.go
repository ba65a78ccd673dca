package fakerelay

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"

	"github.com/gobwas/ws"
)

// invite sends an accept command to a listener taken at random.
func (s *Server) invite(p *pending) (acceptID string, no refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return "", refusal{http.StatusServiceUnavailable, shuttingDown}
	}
	h, rest := s.lookup(p.sender.path)
	if h == nil {
		return "", refusal{http.StatusNotFound, "Endpoint does not exist"}
	}
	for len(h.listeners) > 0 {
		c := h.listeners[rand.IntN(len(h.listeners))]
		// Shaped like the service's, but not to be guessed.
		acceptID = fmt.Sprintf("%s_G0_G%d", p.sender.id, rand.Int64())
		command := acceptCommand(p.sender, c, acceptID)
		if len(command) > maxAccept {
			return "", refusal{http.StatusRequestHeaderFieldsTooLarge, "The headers do not fit into an accept message of 64 KiB"}
		}
		if c.out.control(textFrame(command)) {
			p.listener = c
			s.pending[acceptID] = p
			s.logger().Debug("invited", "entity", h.Path, "suffix", rest, "id", p.sender.id)
			return acceptID, refusal{}
		}
		// It does not read its control channel.
		h.remove(c)
		c.drop()
	}
	return "", refusal{http.StatusNotFound, "There are no listeners connected for the endpoint"}
}

// withdraw ends the validity of an accept id; false means it had been used.
func (s *Server) withdraw(acceptID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.pending[acceptID]
	delete(s.pending, acceptID)
	return ok
}

// acceptCommand tells a listener about a sender.
func acceptCommand(r *request, c *channel, acceptID string) []byte {
	query := r.userQuery()
	if query != "" {
		query += "&"
	}
	var remote struct {
		Address string `json:"address"`
		Port    int    `json:"port"`
	}
	if tcp, ok := r.peer.raw.RemoteAddr().(*net.TCPAddr); ok {
		remote.Address, remote.Port = tcp.IP.String(), tcp.Port
	}
	type accept struct {
		Address        string            `json:"address"`
		ID             string            `json:"id"`
		ConnectHeaders map[string]string `json:"connectHeaders"`
		RemoteEndpoint any               `json:"remoteEndpoint"`
	}
	text, err := json.Marshal(map[string]accept{"accept": {
		Address:        fmt.Sprintf("wss://%s/$hc/%s?%ssb-hc-action=accept&sb-hc-id=%s", c.host, r.raw, query, acceptID),
		ID:             acceptID,
		ConnectHeaders: r.connectHeaders(c.anonymous),
		RemoteEndpoint: remote,
	}})
	if err != nil {
		return nil
	}
	return text
}

// textFrame makes an unmasked text message.
func textFrame(text []byte) []byte {
	frame, err := ws.CompileFrame(ws.NewTextFrame(text))
	if err != nil {
		return nil
	}
	return frame
}

package fakerelay

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// request is one HTTP request of a peer, taken apart.
type request struct {
	*http.Request
	peer    *peer
	spelled map[string]string // header names as they were written, by their canonical form
	path    string            // decoded, without "/$hc/", for websockets
	raw     string            // the same, as it was written
	query   url.Values        // all of it
	action  string            // in lower case: listen, connect, accept, or one that is unknown
	id      string            // sb-hc-id
}

// serveConn answers the requests on one connection until it ends or becomes a
// websocket.
func (s *Server) serveConn(ctx context.Context, p *peer) {
	kept := false
	defer func() {
		if !kept {
			p.close()
			s.untrack(p)
		}
	}()
	p.raw.SetDeadline(time.Now().Add(headTimeout))
	if err := p.tls.HandshakeContext(ctx); err != nil {
		s.logger().Debug("TLS handshake", "remote", p.raw.RemoteAddr(), "error", err)
		return
	}
	for {
		p.raw.SetDeadline(time.Now().Add(keepAlive))
		if _, err := p.br.Peek(1); err != nil {
			return
		}
		p.raw.SetDeadline(time.Now().Add(headTimeout))
		r, err := readRequest(p)
		if err != nil {
			s.logger().Debug("request", "remote", p.raw.RemoteAddr(), "error", err)
			return
		}
		switch next := s.dispatch(ctx, r); {
		case next == handedOver:
			kept = true
			return
		case next == closeConn, r.Close, r.ContentLength != 0:
			return
		}
	}
}

// verdict is what becomes of a connection after a request.
type verdict int

const (
	keepConn   verdict = iota // the next request may come
	closeConn                 // it is to be closed
	handedOver                // somebody else owns it now
)

// readRequest reads one request's head. Its body, if any, stays unread.
func readRequest(p *peer) (*request, error) {
	head, err := readHead(p.br)
	if errors.Is(err, errHeadTooLong) {
		io.WriteString(p.tls, "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		// What is still on its way would turn the end into a reset, which takes the
		// answer with it.
		io.Copy(io.Discard, io.LimitReader(p.br, 16*maxHead))
	}
	if err != nil {
		return nil, err
	}
	hr, spelled, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	r := &request{Request: hr, peer: p, spelled: spelled, query: hr.URL.Query()}
	action, _ := r.parameter("sb-hc-action")
	if r.action = strings.ToLower(action); r.action == "" {
		r.action = "connect" // what the .NET library's own tests rely on
	}
	r.id, _ = r.parameter("sb-hc-id")
	escaped := hr.URL.EscapedPath()
	for _, prefix := range []string{"/$hc/", "/%24hc/"} {
		if rest, ok := strings.CutPrefix(escaped, prefix); ok {
			r.raw = rest
			// Decoded as a whole: entity names have no escaped slashes.
			r.path, _ = url.PathUnescape(rest)
		}
	}
	return r, nil
}

func (s *Server) dispatch(ctx context.Context, r *request) verdict {
	switch {
	case s.drains():
		return s.refuse(r, http.StatusServiceUnavailable, shuttingDown)
	case r.path != "" && r.action == "connect":
		return s.connect(ctx, r)
	case r.path != "" && r.action == "accept":
		return s.rendezvous(r)
	case r.path != "" && r.action == "listen":
		return s.listen(r)
	case r.path != "":
		return s.refuse(r, http.StatusBadRequest, "The value of sb-hc-action is unknown")
	case r.Method == http.MethodGet && r.query.Get("api-version") != "":
		return s.describe(r)
	case s.checkExists(strings.TrimPrefix(r.URL.Path, "/")).status == 0:
		return s.refuse(r, http.StatusNotImplemented, "HTTP requests are not served here, only WebSocket connections")
	}
	return s.refuse(r, http.StatusNotFound, "Endpoint does not exist")
}

// badUpgrade says what is wrong with a websocket handshake (RFC 6455 section 4.2.1).
func (r *request) badUpgrade() string {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case r.Method != http.MethodGet:
		return "A websocket handshake must be a GET"
	case !hasToken(r.Header, "Upgrade", "websocket") || !hasToken(r.Header, "Connection", "upgrade"):
		return "The request is not a websocket handshake"
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return "Sec-WebSocket-Version must be 13"
	case err != nil || len(key) != 16:
		return "Sec-WebSocket-Key must be 16 bytes"
	}
	return ""
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// userQuery is the query as it was written, without what is the relay's.
func (r *request) userQuery() string {
	var kept []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair != "" && !strings.HasPrefix(strings.ToLower(pair), "sb-hc-") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

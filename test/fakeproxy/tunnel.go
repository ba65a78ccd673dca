package fakeproxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// stream is a side of a tunnel: TCP, or TLS over it.
type stream interface {
	net.Conn
	CloseWrite() error
}

// handle serves one client; whoever calls closes tcp.
func (s *Server) handle(ctx context.Context, tcp *net.TCPConn) {
	client := stream(tcp)
	switch {
	case s.Mode == Silent:
		_, _ = io.Copy(io.Discard, tcp) // until it leaves
		return
	case s.Mode == Garbage:
		_, _ = io.WriteString(tcp, "220 mail.corp.example ESMTP\r\n")
		_, _ = io.Copy(io.Discard, tcp)
		return
	case s.Certificate != nil:
		client = tls.Server(tcp, &tls.Config{Certificates: []tls.Certificate{*s.Certificate}})
	}
	r := bufio.NewReader(client)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	challenges := s.Challenge
	if len(challenges) == 0 {
		challenges = []string{`Basic realm="proxy"`}
	}
	switch {
	case s.Mode == HangUp:
	case req.Method != http.MethodConnect:
		answer(client, http.StatusMethodNotAllowed, "", nil)
	case !s.allows(req.Header.Get("Proxy-Authorization")):
		answer(client, http.StatusProxyAuthRequired, "", challenges)
	case s.Mode == Refuse:
		answer(client, s.Status, s.Phrase, nil)
	case s.Mode == Mute:
		answer(client, http.StatusOK, "", nil)
		_, _ = io.Copy(io.Discard, r)
	default:
		s.carry(ctx, tcp, client, r, req.Host)
	}
}

// answer writes a response without a body. A write that fails is the client's
// loss.
func answer(w io.Writer, status int, phrase string, challenges []string) {
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %d %s\r\n", status, cmp.Or(phrase, http.StatusText(status)))
	_ = http.Header{"Proxy-Authenticate": challenges}.Write(&head)
	head.WriteString("\r\n")
	_, _ = w.Write(head.Bytes())
}

// carry joins the client, whose bytes come from r, with target until both
// directions have ended, or one is reset, which resets the other side.
func (s *Server) carry(ctx context.Context, tcp *net.TCPConn, client stream, r io.Reader, target string) {
	var dialer net.Dialer
	far, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		answer(client, http.StatusBadGateway, "", nil)
		return
	}
	if !s.track(ctx, far) {
		return
	}
	defer s.end(far)
	s.mu.Lock()
	s.tunnels++
	s.mu.Unlock()
	if s.Opened != nil {
		s.Opened(target)
	}
	answer(client, http.StatusOK, "", nil)

	pass := func(to stream, from io.Reader) {
		if _, err := io.Copy(to, from); err == nil {
			_ = to.CloseWrite() // fails only where the other direction was reset
			return
		}
		reset(tcp)
		reset(far)
	}
	var up sync.WaitGroup
	up.Go(func() { pass(far.(*net.TCPConn), r) })
	pass(client, far)
	up.Wait()
}

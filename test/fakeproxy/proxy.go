// Package fakeproxy is an HTTP proxy for tests: it carries what CONNECT asks for, as
// the proxies of companies do, or is wrong in one of the ways in which those are.
package fakeproxy

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"sync"
)

// Server is such a proxy. Its fields are set before Serve.
type Server struct {
	// User and Password are asked of everybody. Both empty means nobody is asked.
	User, Password string
	// Challenge is what a 407 offers. Empty means Basic.
	Challenge []string
	// Certificate makes it an https:// proxy.
	Certificate *tls.Certificate
	// Mode is what is wrong with it. Empty means nothing.
	Mode Mode
	// Status and Phrase are every answer of mode Refuse.
	Status int
	Phrase string
	// Opened is told of every tunnel that was opened, with its host:port, on the
	// connection's goroutine. It may be nil.
	Opened func(target string)

	mu      sync.Mutex
	conns   map[net.Conn]bool // of clients and to targets
	taken   int
	tunnels int
}

// Mode is one way to be wrong.
type Mode string

// The modes.
const (
	Refuse  Mode = "refuse"  // answers Status and Phrase
	Silent  Mode = "silent"  // takes the connection and says nothing, nor TLS
	Mute    Mode = "mute"    // answers 200, and lets nothing through
	HangUp  Mode = "hang-up" // closes instead of answering
	Garbage Mode = "garbage" // is something else: answers as a mail server
)

// Serve serves ln, which it closes, until ctx ends, and returns when all
// connections have ended. It returns nil then.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := context.AfterFunc(ctx, func() {
		ln.Close()
		s.Drop()
	})
	defer ended()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			continue
		}
		if !s.track(ctx, conn) {
			continue
		}
		s.mu.Lock()
		s.taken++
		s.mu.Unlock()
		conns.Go(func() {
			defer s.end(conn)
			s.handle(ctx, conn.(*net.TCPConn))
		})
	}
}

// Taken is how many connections were accepted.
func (s *Server) Taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// Tunnels is how many tunnels were opened.
func (s *Server) Tunnels() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tunnels
}

// Drop resets every connection there is.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		reset(conn)
	}
}

// track notes conn for Drop, or closes it when it is too late.
func (s *Server) track(ctx context.Context, conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		conn.Close()
		return false
	}
	if s.conns == nil {
		s.conns = make(map[net.Conn]bool)
	}
	s.conns[conn] = true
	return true
}

func (s *Server) end(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	conn.Close()
}

// allows reports whether the header's value carries the right credentials.
func (s *Server) allows(authorization string) bool {
	return s.User == "" && s.Password == "" ||
		authorization == "Basic "+base64.StdEncoding.EncodeToString([]byte(s.User+":"+s.Password))
}

// reset drops a TCP connection without a polite end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // an error says that it has ended
	}
	conn.Close()
}

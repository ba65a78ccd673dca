package fakelistener

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

// serveAztunnel reads the sender's envelope, one text message, dials, and answers
// with another one.
func (l *Listener) serveAztunnel(ctx context.Context, s *socket) {
	text, err := s.readMessage()
	if err != nil {
		return
	}
	var asked struct {
		Version  int
		Target   string
		BridgeID string `json:"bridge_id"`
	}
	if err := json.Unmarshal(text, &asked); err != nil || asked.Version != 1 || asked.Target == "" || s.in.OpCode != ws.OpText {
		l.logger().Info("no envelope", "bytes", len(text))
		l.closeAsync(s)
		return
	}
	answer := struct {
		Version    int    `json:"version"`
		OK         bool   `json:"ok"`
		Error      string `json:"error,omitempty"`
		Code       string `json:"code,omitempty"`
		ListenerID string `json:"listener_id,omitempty"`
	}{Version: 1, ListenerID: newGUID()}
	target, err := l.reach(ctx, asked.Target)
	if answer.OK = err == nil; !answer.OK {
		answer.Error, answer.Code = err.Error(), aztunnelCode(err)
	}
	text, _ = json.Marshal(answer) // of strings, which cannot fail
	if err := s.writeFrame(ws.OpText, text); err != nil || target == nil {
		if target != nil {
			target.Close()
		}
		l.closeAsync(s)
		return
	}
	l.bridge(ctx, s, target)
}

var errNotAllowed = errors.New("target is not on the list")

func (l *Listener) reach(ctx context.Context, target string) (net.Conn, error) {
	if l.Allow != nil && !l.Allow(target) {
		return nil, errNotAllowed
	}
	return l.Dial(ctx)
}

// aztunnelCode is the original's word for a dial that failed; it has none for most.
func aztunnelCode(err error) string {
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		if name.IsTimeout {
			return "dns_timeout"
		}
		return "dns_not_found"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection_refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "host_unreachable"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network_unreachable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return ""
}

// bridge owns target. Whichever direction ends first ends the other.
func (l *Listener) bridge(ctx context.Context, s *socket, target net.Conn) {
	stop := context.AfterFunc(ctx, func() { breakBoth(s, target) })
	defer stop()
	var pumps sync.WaitGroup
	pumps.Go(func() {
		if _, err := io.CopyBuffer(onlyWriter{target}, onlyReader{s}, make([]byte, 32<<10)); err != nil {
			s.drop()
		} else {
			s.sendClose("")
			s.finish()
		}
		target.Close()
	})
	pumps.Go(func() {
		_, err := io.CopyBuffer(onlyWriter{s}, onlyReader{target}, make([]byte, 32<<10))
		switch {
		case errors.Is(err, net.ErrClosed): // by the other pump
		case err != nil:
			s.drop()
		default:
			s.raw.SetReadDeadline(time.Now().Add(l.closeWait()))
			s.sendClose("")
		}
	})
	pumps.Wait()
}

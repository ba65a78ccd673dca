package fakelistener

import (
	"context"
	"crypto/rand"
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
	answer := struct {
		Version    int    `json:"version"`
		OK         bool   `json:"ok"`
		Error      string `json:"error,omitempty"`
		Code       string `json:"code,omitempty"`
		ListenerID string `json:"listener_id,omitempty"`
	}{Version: 1, ListenerID: rand.Text()[:16]}
	var target net.Conn
	if err := json.Unmarshal(text, &asked); err != nil || asked.Version != 1 || asked.Target == "" {
		l.logger().Info("no envelope", "bytes", len(text))
		answer.Error = "invalid envelope"
	} else if target, err = l.reach(ctx, asked.Target); err == nil {
		answer.OK = true
	} else if answer.Error, answer.Code = "connection failed", aztunnelCode(err); errors.Is(err, errNotAllowed) {
		answer.Error = "target not allowed"
	}
	text, _ = json.Marshal(answer) // of strings, which cannot fail
	if err := s.writeFrame(ws.OpText, text); err != nil || target == nil {
		if target != nil {
			target.Close()
		}
		l.closeWith(s, "done", aztunnelCloseWait)
		return
	}
	l.bridge(ctx, s, target)
}

// aztunnelCloseWait is how long the original's library waits for the answer to a Close.
const aztunnelCloseWait = 5 * time.Second

var errNotAllowed = errors.New("target is not on the list")

func (l *Listener) reach(ctx context.Context, target string) (net.Conn, error) {
	if l.Allow != nil && !l.Allow(target) {
		return nil, errNotAllowed
	}
	return l.dialTarget(ctx)
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

// maxAztunnelMessage is the most that a message may have: what the original's library
// reads by default.
const maxAztunnelMessage = 32 << 10

// bridge owns target. Whichever direction ends first ends the other. A Close of the
// sender is answered with its own code and reason. When the target ends, the original's
// two ways to leave are in a race: an end of TLS, in six recordings of seven, and a Close
// 1000 "done". A target's reset is an end of TLS.
func (l *Listener) bridge(ctx context.Context, s *socket, target net.Conn) {
	s.replies, s.maxMessage = true, maxAztunnelMessage
	stop := context.AfterFunc(ctx, func() { breakBoth(s, target) })
	defer stop()
	var pumps sync.WaitGroup
	pumps.Go(func() {
		_, err := io.CopyBuffer(onlyWriter{target}, onlyReader{s}, make([]byte, 32<<10))
		if errors.Is(err, errTooLong) {
			s.sendCode(ws.StatusMessageTooBig, "read limited at 32769 bytes")
		}
		s.finish()
		target.Close()
	})
	pumps.Go(func() {
		_, err := io.CopyBuffer(onlyWriter{s}, onlyReader{target}, make([]byte, 32<<10))
		if err != nil || l.EndsTLS {
			s.finish()
			target.Close()
			return
		}
		s.raw.SetReadDeadline(time.Now().Add(aztunnelCloseWait))
		s.sendClose("done")
	})
	pumps.Wait()
}

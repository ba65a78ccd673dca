package fakelistener

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// invitation is the accept command.
type invitation struct {
	Address        string
	ID             string
	ConnectHeaders map[string]string
}

type idKey struct{}

// ID is the relay's id of the connection that Dial is called for. It begins with
// the sender's sb-hc-id and an underscore.
func ID(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}

// serveInvitation answers one invitation, and serves the connection to its end.
func (l *Listener) serveInvitation(ctx context.Context, i invitation) {
	if l.personality() == NeverRendezvous {
		return
	}
	if l.HandshakeDelay > 0 {
		select {
		case <-time.After(l.HandshakeDelay):
		case <-ctx.Done():
			return
		}
	}
	header := http.Header{}
	for name, offered := range i.ConnectHeaders { // spelled as the sender did
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") {
			header.Set("Sec-WebSocket-Protocol", firstOf(offered))
		}
	}
	address := i.Address
	if l.personality() == Reject {
		address += l.rejection()
	}
	s, err := l.open(ctx, address, header)
	if err != nil {
		l.logger().Debug("rendezvous", "id", i.ID, "error", err)
		return
	}
	defer s.drop()
	stop := context.AfterFunc(ctx, s.drop)
	defer stop()
	l.wg.Go(func() { s.keepAlive(l.pongInterval()) })
	ctx = context.WithValue(ctx, idKey{}, i.ID)
	s.dotnet = l.onDotnet()
	switch l.personality() {
	case HCM, HCMService:
		l.serveHCM(ctx, s)
	case HalfClose:
		l.serveHalfClose(ctx, s)
	case DotnetRaw:
		l.serveDotnetRaw(ctx, s)
	case Azbridge:
		l.serveAzbridge(ctx, s)
	case Aztunnel:
		l.serveAztunnel(ctx, s)
	case NodeLike:
		l.serveNodeLike(ctx, s)
	}
}

// rejection is what turns the rendezvous into a refusal. The relay answers it
// with 410, which open reports as an error.
func (l *Listener) rejection() string {
	status, phrase := l.RejectStatus, l.RejectPhrase
	switch {
	case status == 0 && phrase == "": // an accept handler that returns false
		status, phrase = http.StatusBadRequest, "Rejected by user code"
	case status == 0:
		status = http.StatusBadRequest
	case phrase == "":
		phrase = http.StatusText(status)
	}
	return "&sb-hc-statusCode=" + strconv.Itoa(status) + "&sb-hc-statusDescription=" + url.QueryEscape(phrase)
}

// dial reaches the target. On failure it closes s as the .NET library does
// when a stream is closed before it was used.
func (l *Listener) dial(ctx context.Context, s *socket) (net.Conn, bool) {
	target, err := l.dialTarget(ctx)
	switch {
	case err == nil:
		return target, true
	case ctx.Err() != nil:
		s.drop() // the listener ends; its target has refused nothing
	default:
		l.logger().Info("target not reached", "error", err)
		l.closeAsync(s)
	}
	return nil, false
}

// dialTarget is Dial within DialTimeout.
func (l *Listener) dialTarget(ctx context.Context) (net.Conn, error) {
	if l.DialTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.DialTimeout)
		defer cancel()
	}
	return l.Dial(ctx)
}

// onDotnet reports whether the original stands on the .NET library.
func (l *Listener) onDotnet() bool {
	switch l.personality() {
	case HCM, HCMService, HalfClose, DotnetRaw, Azbridge:
		return true
	}
	return false
}

// closeAsync is the .NET library's CloseAsync: Close 1000, then what still
// arrives is thrown away until the peer's Close or the wait is over.
func (l *Listener) closeAsync(s *socket) {
	l.closeWith(s, "CloseAsync", l.closeWait())
}

func (l *Listener) closeWith(s *socket, reason string, wait time.Duration) {
	if s.sendClose(reason) != nil {
		s.drop()
		return
	}
	s.dotnet = false // an empty message ends nothing here
	s.raw.SetReadDeadline(time.Now().Add(wait))
	if _, err := io.Copy(io.Discard, onlyReader{s}); err != nil {
		s.drop()
		return
	}
	s.finish()
}

// onlyReader hides everything else from io.Copy.
type onlyReader struct{ io.Reader }

// breakBoth is what a listener's end does to a connection. The relay is left first, so
// that nothing about the target's end is passed on.
func breakBoth(s *socket, target net.Conn) {
	s.drop()
	reset(target)
}

// reset ends a target's connection so that it cannot be taken for complete.
func reset(target net.Conn) {
	if tcp, ok := target.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	target.Close()
}

// firstOf is the first of a list of subprotocols, which is what the official
// listeners ask for.
func firstOf(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

package forwarder

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// schedule sets the timer to the next moment at which something may be due.
func (p *pipe) schedule() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scheduleLocked()
}

func (p *pipe) scheduleLocked() {
	at, _ := p.nextLocked()
	switch {
	case at == never: // and there is no timer, or it was stopped
	case p.timer != nil:
		p.timer.Reset(at - p.now())
	default:
		p.timer = time.AfterFunc(at-p.now(), p.guarded(p.tick))
	}
}

// nextLocked is what is due next, and when.
func (p *pipe) nextLocked() (at time.Duration, what event) {
	return p.ends.next(time.Duration(p.active.Load()), time.Duration(p.arriveBy.Load()))
}

// tick runs when the timer fires.
func (p *pipe) tick() {
	if p.noteDue() == doAsk {
		p.note(p.ask(), nil)
	}
}

// noteDue notes what is due, or sets the timer anew where bytes have moved since it
// was set.
func (p *pipe) noteDue() action {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, what := p.nextLocked()
	if at > p.now() {
		p.scheduleLocked()
		return doWait
	}
	return p.noteLocked(what, nil)
}

// ask finds out whether the app, which has ended its stream, has closed fully.
// Where nobody can tell, Linger decides.
func (p *pipe) ask() event {
	closed, err := p.appClosed(p.app)
	switch {
	case p.from.disconnected(): // by a reset, after which there is no socket to ask about
		return onAppFoundClosed
	case errors.Is(err, errors.ErrUnsupported):
		return onAppUnknown
	case closed && err == nil:
		return onAppFoundClosed
	}
	return onAppFoundOpen
}

// appClosed asks AppClosed about an accepted connection.
func (s *Server) appClosed(app net.Conn) (closed bool, err error) {
	if s.AppClosed == nil {
		return false, errors.ErrUnsupported
	}
	return s.AppClosed(addrPort(app.RemoteAddr()), addrPort(app.LocalAddr()))
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		a := tcp.AddrPort()
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return netip.AddrPort{}
}

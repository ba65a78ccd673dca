package fakerelay

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// pending is a sender that waits for a listener.
type pending struct {
	sender   *request
	listener *channel        // that was told of it
	answers  chan rendezvous // room for one
}

// rendezvous is a listener's answer: its socket, or a status and a phrase.
type rendezvous struct {
	peer *peer
	choices
	status int
	phrase string
}

// connect serves a sender. Its 101 is held back until a listener has come.
func (s *Server) connect(ctx context.Context, r *request) verdict {
	if r.id == "" {
		r.id = newGUID()
	}
	// Something reads from the connection now, so it serves no second request.
	r.Close = true
	// A sender that hangs up ends the wait. Whatever else it sends early stays
	// in the buffered reader, which only this goroutine touches until peeked.
	r.peer.raw.SetDeadline(time.Time{})
	peeked := make(chan error, 1)
	s.wg.Go(func() {
		_, err := r.peer.br.Peek(1)
		peeked <- err
	})
	w := &waiting{ctx: ctx, peeked: peeked}

	fault := s.record(r)
	if !w.sleep(fault.Delay) {
		return closeConn
	}
	switch {
	case fault.NeverAnswer:
		if w.awaitPeek() == nil {
			io.Copy(io.Discard, r.peer.br)
		}
		return closeConn
	case fault.Garbage != nil:
		r.peer.tls.Write(fault.Garbage)
		return closeConn
	case fault.Status != 0:
		phrase := fault.Phrase
		if !fault.Bare {
			phrase = s.trackedPhrase(r, phrase)
		}
		s.answer(r, fault.Status, phrase, faultHeader(fault), nil)
		return closeConn
	}
	if no := s.mayConnect(r); no.status != 0 {
		s.refuse(r, no.status, no.text)
		return closeConn
	}

	p := &pending{sender: r, answers: make(chan rendezvous, 1)}
	acceptID, no := s.invite(p)
	if no.status != 0 {
		s.refuse(r, no.status, no.text)
		return closeConn
	}
	answer, came := w.answer(p, s.acceptTimeout())
	if !s.withdraw(acceptID) && !came {
		// The listener came at the last moment: the answer is on its way.
		answer, came = <-p.answers, true
	}
	switch {
	case w.gone:
		if answer.peer != nil {
			answer.peer.drop()
			s.untrack(answer.peer)
		}
		return closeConn
	case !came && s.NotFoundOnTimeout:
		s.refuse(r, http.StatusNotFound, "None of the connected listeners accepted the connection(s) within the allowed timeout")
		return closeConn
	case !came:
		s.refuse(r, http.StatusGatewayTimeout, "The listener did not accept the connection within the allowed timeout")
		return closeConn
	case answer.peer == nil:
		s.answer(r, answer.status, answer.phrase, nil, nil)
		return closeConn
	}
	r.peer.upgrade(s)
	r.peer.extended = answer.extension != ""
	if err := s.switchProtocols(r, answer.choices, faultHeader(fault)); err != nil {
		answer.peer.drop()
		s.untrack(answer.peer)
		return closeConn
	}
	s.join(r, answer.peer, fault, w)
	return handedOver
}

// record notes the request and asks for its fault.
func (s *Server) record(r *request) Fault {
	c := Connect{Entity: r.path, ID: r.id, Header: r.Header.Clone(), Query: r.query}
	s.mu.Lock()
	if h, _ := s.lookup(r.path); h != nil {
		c.Entity = h.Path
	}
	s.attempts[c.Entity]++
	c.Attempt = s.attempts[c.Entity]
	s.connects = append(s.connects, c)
	if len(s.connects) > keptConnects {
		s.connects = slices.Delete(s.connects, 0, keptConnects/2)
	}
	s.mu.Unlock()
	if s.Fault == nil {
		return Fault{}
	}
	return s.Fault(c)
}

func faultHeader(f Fault) http.Header {
	header := f.Header.Clone()
	if f.RetryAfter > 0 {
		if header == nil {
			header = http.Header{}
		}
		header.Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	return header
}

func (s *Server) mayConnect(r *request) refusal {
	s.mu.Lock()
	h, _ := s.lookup(r.path)
	anonymous := h != nil && h.Anonymous
	s.mu.Unlock()
	if !anonymous {
		if _, no := s.authorize(r, r.path, toSend); no.status != 0 {
			return no
		}
	}
	if bad := r.badUpgrade(); bad != "" {
		return refusal{http.StatusBadRequest, bad}
	}
	return refusal{}
}

// waiting watches a sender that has no answer yet.
type waiting struct {
	ctx    context.Context
	peeked chan error // nil once it has been read
	gone   bool       // the sender has hung up
}

// notePeek takes in the result; false means that the sender has hung up.
func (w *waiting) notePeek(err error) bool {
	w.peeked = nil
	w.gone = err != nil
	return !w.gone
}

// sleep waits; false means that there is nobody to answer any more.
func (w *waiting) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case err := <-w.peeked:
			if !w.notePeek(err) {
				return false
			}
		case <-w.ctx.Done():
			return false
		}
	}
}

// answer waits for the listener; came is false when it is in vain.
func (w *waiting) answer(p *pending, timeout time.Duration) (a rendezvous, came bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case answer := <-p.answers:
			return answer, true
		case err := <-w.peeked:
			if !w.notePeek(err) {
				return rendezvous{}, false
			}
		case <-timer.C:
			return rendezvous{}, false
		case <-w.ctx.Done():
			w.gone = true
			return rendezvous{}, false
		}
	}
}

// awaitPeek waits for the goroutine that peeks, so that the reader is free.
func (w *waiting) awaitPeek() error {
	if w.peeked == nil {
		return nil
	}
	return <-w.peeked
}

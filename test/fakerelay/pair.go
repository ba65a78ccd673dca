package fakerelay

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

const (
	// lostFlushWait is how long what is queued for a peer may take to leave
	// when the other one is lost.
	lostFlushWait = time.Second
	// closeFlushWait is how long what is queued for a peer may take to leave when
	// both have closed.
	closeFlushWait = 10 * time.Second
)

// pair is a sender and a listener that were joined.
type pair struct {
	server           *Server
	id               string // sb-hc-id of the sender's handshake
	sender, listener *peer
	shape            *shape // of the frames towards the sender; nil = as they come

	mu                 sync.Mutex
	upEnded, downEnded bool // with a Close
	lost               bool // one side went without
	farewell           bool // the relay ends both
}

// join relays between two upgraded peers and owns both. It returns when they
// are closed.
func (s *Server) join(r *request, listener *peer, fault Fault, w *waiting) {
	p := &pair{server: s, id: r.id, sender: r.peer, listener: listener}
	p.sender.pingEvery, p.sender.delayPong, p.sender.noPong = fault.PingEvery, fault.DelayPong, fault.NoPong
	for _, x := range []*peer{p.sender, p.listener} {
		x.idleCut = s.IdleCut
		x.touch()
	}
	if fault.shapes() {
		p.shape = &shape{Fault: fault}
	}
	s.open.Add(1)
	defer s.open.Add(-1)
	s.mu.Lock()
	s.pairs[p] = struct{}{}
	s.mu.Unlock()
	start := time.Now()

	var writers, readers sync.WaitGroup
	for _, x := range []*peer{p.sender, p.listener} {
		writers.Go(func() {
			if err := x.write(); err != nil {
				p.lose(x, err)
			}
		})
	}
	readers.Go(func() {
		p.lose(p.listener, p.relay(p.listener, p.sender, &s.down))
		p.listener.finish()
	})
	readers.Go(func() {
		err := w.awaitPeek()
		if err == nil {
			err = p.relay(p.sender, p.listener, &s.up)
		}
		p.lose(p.sender, err)
		p.sender.finish()
	})
	writers.Wait()
	p.linger()
	p.end()
	readers.Wait()
	s.mu.Lock()
	delete(s.pairs, p)
	s.mu.Unlock()
	signal(s.left)
	s.untrack(p.sender)
	s.untrack(p.listener)
	s.logger().Debug("connection ended", "id", r.id, "path", r.path, "lost", p.lost, "took", time.Since(start))
}

// end closes both sockets; the readers then end too.
func (p *pair) end() {
	p.mu.Lock()
	lost := p.lost
	p.mu.Unlock()
	if !lost {
		p.sender.close()
		p.listener.close()
		return
	}
	if p.shape != nil && p.shape.Reset {
		reset(p.sender.raw)
	}
	p.sender.drop()
	p.listener.drop()
}

// lose notes that x has failed. Unless both directions had ended by then, the
// other side is dropped as well, once it has been given what is queued for it.
// Neither gets a Close.
func (p *pair) lose(x *peer, err error) {
	p.mu.Lock()
	first := !p.lost && !(p.upEnded && p.downEnded)
	p.lost = p.lost || first
	p.mu.Unlock()
	if first {
		p.server.logger().Debug("connection lost", "by_sender", x == p.sender, "error", err)
		y := p.sender
		if x == y {
			y = p.listener
		}
		y.raw.SetWriteDeadline(time.Now().Add(lostFlushWait))
		y.out.finish(nil)
	}
	x.drop()
}

// relay reads the frames of src and hands them to dst until src fails. It
// reads on after a Close, to notice that.
func (p *pair) relay(src, dst *peer, count *atomic.Int64) error {
	forward := func(h ws.Header) error {
		out := ws.Header{Fin: h.Fin, Rsv: h.Rsv, OpCode: h.OpCode, Length: h.Length}
		return forwardFrame(src, dst, out, h, 0, h.Length, count)
	}
	if p.shape != nil && dst == p.sender {
		if err := p.shape.atOnce(p); err != nil {
			return err
		}
		forward = func(h ws.Header) error { return p.shape.forward(p, h, count) }
	}
	order := messageOrder{}
	for {
		h, err := src.readHeader()
		if err == nil {
			err = order.check(h)
		}
		if err != nil {
			return p.violation(src, err)
		}
		if !h.OpCode.IsControl() {
			if err := forward(h); err != nil {
				return err
			}
			continue
		}
		payload, err := src.readPayload(h)
		if err != nil {
			return err
		}
		switch h.OpCode {
		case ws.OpPing:
			src.pong(payload)
		case ws.OpClose:
			p.forwardClose(src, dst, payload)
			src.finish()
		}
	}
}

// violation answers a broken frame with Close 1002, so that a client under
// test sees what it did. Other errors pass as they are.
func (p *pair) violation(src *peer, err error) error {
	if protocol, ok := errors.AsType[ws.ProtocolError](err); ok {
		p.server.logger().Warn("protocol violation", "by_sender", src == p.sender, "error", err)
		src.raw.SetWriteDeadline(time.Now().Add(lostFlushWait))
		src.out.finish(closeFrame(int(ws.StatusProtocolError), trackedReason(protocol.Error(), p.id)))
		<-src.out.drained
	}
	return err
}

// forwardClose ends the direction from src to dst. src gets no answer: its
// own direction is still open.
func (p *pair) forwardClose(src, dst *peer, payload []byte) {
	if p.shape != nil && dst == p.sender {
		p.shape.finishMessage(dst)
	}
	frame := compile(ws.OpClose, payload)
	echo := frame
	if p.server.RewriteCloseCodes {
		frame = closeFrame(int(ws.StatusGoingAway), trackedReason("The sender closed the connection", p.id))
		if dst == p.sender {
			frame = closeFrame(int(ws.StatusNormalClosure), trackedReason("The listener closed the connection", p.id))
		}
	}
	p.endDirection(dst, frame)
	if p.server.FullCloseOnFirstClose {
		p.endDirection(src, echo)
	}
}

// endDirection sends the last frame that dst gets.
func (p *pair) endDirection(dst *peer, frame []byte) {
	p.mu.Lock()
	ended := &p.upEnded
	if dst == p.sender {
		ended = &p.downEnded
	}
	again := *ended
	*ended = true
	both := p.upEnded && p.downEnded
	p.mu.Unlock()
	if again {
		return
	}
	if both {
		deadline := time.Now().Add(closeFlushWait)
		p.sender.raw.SetWriteDeadline(deadline)
		p.listener.raw.SetWriteDeadline(deadline)
	}
	dst.out.finish(frame)
}

package dnsproxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// laneQueries and laneTime bound what one socket sends: so few queries that
	// the port is hard to guess (RFC 5452 section 9.2), and so many that, where
	// many come at once, opening sockets costs little.
	laneQueries = 64
	laneTime    = 100 * time.Millisecond
)

// A lane is a UDP socket, connected to one upstream, with the queries that wait
// for an answer there. It closes when it takes no more and nobody waits.
type lane struct {
	conn  net.Conn
	stray func() // is called for what answers nothing

	mu      sync.Mutex
	waiting map[uint16]*asking // by the id they were sent with
	booked  int                // queries that ask is to be called for
	sent    int
	retired bool
	failed  error
}

// lane returns one for a query to u; the caller calls ask, once.
func (p *pool) lane(ctx context.Context, u *upstream) (*lane, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l := u.lane; l != nil && l.book() {
		return l, nil
	}
	conn, err := p.dial(ctx, "udp", u.addr.String())
	if err != nil {
		return nil, err
	}
	l := &lane{conn: conn, stray: func() { p.dropped(DroppedStray) }, waiting: make(map[uint16]*asking), booked: 1, sent: 1}
	u.lane = l
	p.running.Go(func() {
		defer p.panicked.raise()
		stop := context.AfterFunc(p.ctx, func() {
			defer p.panicked.raise()
			conn.Close()
		})
		defer stop()
		retire := time.AfterFunc(laneTime, func() {
			defer p.panicked.raise()
			l.retire()
		})
		defer retire.Stop()
		l.read()
	})
	return l, nil
}

// book reports whether the lane takes one more query.
func (l *lane) book() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired || l.failed != nil || l.sent >= laneQueries {
		return false
	}
	l.sent++
	l.booked++
	return true
}

// retire has the lane take no more.
func (l *lane) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
	l.closeIdle()
}

func (l *lane) closeIdle() {
	if (l.retired || l.sent >= laneQueries) && l.booked == 0 && len(l.waiting) == 0 {
		l.conn.Close()
	}
}

// ask sends a's query with a fresh id. The reply goes to a.
func (l *lane) ask(a *asking) error {
	msg := slices.Clone(a.q.raw)
	l.mu.Lock()
	l.booked--
	for l.failed == nil {
		rand.Read(msg[:2]) // which never fails
		a.id = binary.BigEndian.Uint16(msg)
		if l.waiting[a.id] == nil {
			l.waiting[a.id] = a
			break
		}
	}
	err := l.failed
	l.mu.Unlock()
	if err != nil {
		return err
	}
	a.lane = l
	_, err = l.conn.Write(msg)
	if errors.Is(err, syscall.ECONNREFUSED) {
		l.fail(err) // it is an earlier query that was refused, and nobody else is told
	}
	return err
}

// forget ends a's wait, if it still waits here.
func (l *lane) forget(a *asking) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[a.id] == a {
		delete(l.waiting, a.id)
		l.closeIdle()
	}
}

// read hands on what answers a query and ignores all else that arrives (RFC 5452
// section 9.1); that it comes from the upstream is the connected socket's care.
func (l *lane) read() {
	buf := laneBuffers.Get().(*[1 << 16]byte)
	defer laneBuffers.Put(buf)
	for {
		n, err := l.conn.Read(buf[:])
		if err != nil {
			l.fail(fmt.Errorf("waiting for a reply over udp: %w", err))
			return
		}
		if !l.deliver(buf[:n]) {
			l.stray()
		}
	}
}

// laneBuffers take the largest datagram there is.
var laneBuffers = sync.Pool{New: func() any { return new([1 << 16]byte) }}

// deliver hands a reply to the one who waits for it, and reports whether there is
// one.
func (l *lane) deliver(reply []byte) bool {
	if len(reply) < headerLen {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id := binary.BigEndian.Uint16(reply)
	a := l.waiting[id]
	if a == nil || !answers(reply, id, a.q.question) {
		return false
	}
	delete(l.waiting, id)
	l.closeIdle()
	reply = slices.Clone(reply)
	binary.BigEndian.PutUint16(reply, a.q.id())
	a.results <- result{asking: a, reply: reply}
	return true
}

func (l *lane) fail(err error) {
	l.conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
	for _, a := range l.waiting {
		a.results <- result{asking: a, err: err}
	}
	clear(l.waiting)
}

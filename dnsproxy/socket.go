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
	// socketQueries bounds what one socket sends: so few queries that the port is
	// hard to guess (RFC 5452 section 9.2), and so many that, where many come at
	// once, opening sockets costs little.
	socketQueries = 64

	// socketTime is how long one socket takes queries, for a port that is used for
	// long can be found out.
	socketTime = 100 * time.Millisecond
)

// A socket is one for UDP with a random port, connected to one upstream, with the
// queries that wait for an answer there. It closes when it takes no more and
// nobody waits.
type socket struct {
	conn  net.Conn
	stray func() // is called for a datagram that answers no query

	mu       sync.Mutex
	waiting  map[uint16]*attempt // by the id they were sent with
	reserved int                 // reserved by reserve or pool.takeSocket, not sent yet
	sent     int                 // reserved ones included
	retired  bool                // takes no more
	failed   error
}

// takeSocket returns a socket with a reserved place for a query to u; the caller calls ask,
// once.
func (p *pool) takeSocket(ctx context.Context, u *upstream) (*socket, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.socket; s != nil && s.reserve() {
		return s, nil
	}
	conn, err := p.dial(ctx, "udp", u.addr.String())
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, stray: func() { p.onDropped(DroppedStray) }, waiting: make(map[uint16]*attempt), reserved: 1, sent: 1}
	u.socket = s
	p.goroutines.Go(p.guarded(func() {
		stop := context.AfterFunc(p.ctx, p.guarded(func() { conn.Close() }))
		defer stop()
		retire := time.AfterFunc(socketTime, p.guarded(s.retire))
		defer retire.Stop()
		s.read()
	}))
	return s, nil
}

// reserve takes a place for one more query, and reports false if there is none.
func (s *socket) reserve() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired || s.failed != nil || s.sent >= socketQueries {
		return false
	}
	s.sent++
	s.reserved++
	return true
}

// ask sends a's query with a fresh id, at a place that was reserved. The result
// goes to a.
func (s *socket) ask(a *attempt) error {
	msg := slices.Clone(a.q.raw)
	s.mu.Lock()
	s.reserved--
	for s.failed == nil {
		rand.Read(msg[:2]) // which never fails
		a.id = binary.BigEndian.Uint16(msg)
		if s.waiting[a.id] == nil {
			s.waiting[a.id] = a
			break
		}
	}
	err := s.failed
	s.mu.Unlock()
	if err != nil {
		return err
	}
	a.socket = s
	_, err = s.conn.Write(msg)
	if errors.Is(err, syscall.ECONNREFUSED) {
		s.fail(err) // it is an earlier query that was refused, and nobody else is told
	}
	return err
}

// read hands on what answers a query and ignores all else that arrives (RFC 5452
// section 9.1). Datagrams from others than the upstream do not arrive: the kernel
// drops them, for the socket is connected.
func (s *socket) read() {
	buf := datagramBuffers.Get().(*[1 << 16]byte)
	defer datagramBuffers.Put(buf)
	for {
		n, err := s.conn.Read(buf[:])
		if err != nil {
			s.fail(fmt.Errorf("waiting for a reply over udp: %w", err))
			return
		}
		if !s.deliver(buf[:n]) {
			s.stray()
		}
	}
}

// datagramBuffers are buffers for the largest datagram there is.
var datagramBuffers = sync.Pool{New: func() any { return new([1 << 16]byte) }}

// deliver hands a reply to the attempt that waits for it, and reports whether there
// is one.
func (s *socket) deliver(reply []byte) bool {
	if len(reply) < headerLen {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := binary.BigEndian.Uint16(reply)
	a := s.waiting[id]
	if a == nil || !answers(reply, id, a.q.question) {
		return false
	}
	delete(s.waiting, id)
	s.closeUnusedLocked()
	reply = slices.Clone(reply)
	binary.BigEndian.PutUint16(reply, a.q.id())
	a.results <- result{attempt: a, reply: reply}
	return true
}

// fail ends the wait of all attempts with err, and closes the socket.
func (s *socket) fail(err error) {
	s.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
	for _, a := range s.waiting {
		a.results <- result{attempt: a, err: err}
	}
	clear(s.waiting)
}

// forget ends a's wait, if it still waits here.
func (s *socket) forget(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[a.id] == a {
		delete(s.waiting, a.id)
		s.closeUnusedLocked()
	}
}

// retire has the socket take no more queries.
func (s *socket) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	s.closeUnusedLocked()
}

// closeUnusedLocked closes the socket if it takes no more queries and none waits.
func (s *socket) closeUnusedLocked() {
	if (s.retired || s.sent >= socketQueries) && s.reserved == 0 && len(s.waiting) == 0 {
		s.conn.Close()
	}
}

package check

import (
	"context"
	"net"
	"sync"
	"time"
)

// stream reads from a tunnel ahead of whoever waits: a tunnel's own deadline
// would end it.
type stream struct {
	net.Conn
	opened time.Time
	chunks chan []byte   // closed at the end
	done   chan struct{} // closed by close
	reader sync.WaitGroup

	err  error  // why it ended; to be read once chunks is closed
	rest []byte // has come and was not read
	got  bool   // anything has come
}

// newStream owns conn. Guard is that of the Checker.
func newStream(conn net.Conn, guard func(f func()) func()) *stream {
	s := &stream{Conn: conn, opened: time.Now(), chunks: make(chan []byte), done: make(chan struct{})}
	s.reader.Go(guarded(guard, s.pump))
	return s
}

func (s *stream) pump() {
	defer close(s.chunks)
	for {
		buf := make([]byte, 4096)
		n, err := s.Conn.Read(buf)
		if n > 0 {
			select {
			case s.chunks <- buf[:n]:
			case <-s.done:
				return
			}
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// close ends the tunnel in order, without waiting for the far side to agree.
func (s *stream) close() {
	close(s.done)
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // fails where the tunnel has ended already
	}
	_ = s.Conn.Close() // fails where the tunnel has ended already
	s.reader.Wait()
}

// event is what a wait for bytes ended with.
type event int

const (
	silence event = iota
	bytesCame
	ended
	stalled // part of a TLS handshake came, and then nothing
	unclear // not known: the wait itself came to nothing
)

// await waits for bytes until d has passed or ctx ends.
func (s *stream) await(ctx context.Context, d time.Duration) event {
	if len(s.rest) > 0 {
		return bytesCame
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case chunk, open := <-s.chunks:
		if !open {
			return ended
		}
		s.rest, s.got = chunk, true
		return bytesCame
	case <-timer.C:
	case <-ctx.Done():
	}
	return silence
}

// Read is what TLS reads with.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		chunk, open := <-s.chunks
		if !open {
			return 0, s.err
		}
		s.rest, s.got = chunk, true
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// SetDeadline and the other two do nothing: whoever reads is bounded by the
// end of the tunnel.
func (s *stream) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (s *stream) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

package relayclient

import (
	"sync"
	"sync/atomic"
)

// connState holds a [Conn]'s ends, and the goroutines that must not outlive it.
//
// The ends change a few times in a connection's life, under a mutex, since what begins a
// goroutine must not race with what waits for them all. They are read before every
// message, by a writer that must not wait for anybody: so they fit one atomic word, and
// reading takes no lock.
type connState struct {
	word    atomic.Uint32 // ends, packed; stored with mu held
	mu      sync.Mutex
	owned   sync.WaitGroup // goroutines that answer pings, judge silence, and drain
	guarded func(f func()) func()
}

// ends returns what is known now.
func (s *connState) ends() ends { return unpack(s.word.Load()) }

// note moves the ends on by what happened, and returns what whoever learnt it does next.
func (s *connState) note(ev event) action {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, do := s.ends().after(ev)
	s.word.Store(e.pack())
	return do
}

// start runs f on a goroutine that wait waits for, and reports false when the
// connection is shut.
func (s *connState) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ends().mayStart() {
		return false
	}
	s.owned.Go(s.guarded(f))
	return true
}

// wait returns when all goroutines have ended. The connection is shut by then.
func (s *connState) wait() { s.owned.Wait() }

package relayclient

import (
	"sync"
	"sync/atomic"
)

// lifetime holds a [Conn]'s ends, and the goroutines that must not outlive it.
//
// The ends change a few times in a connection's life, under a mutex, since what begins a
// goroutine must not race with what waits for them all. They are read before every
// message, by a writer that must not wait for anybody: so they fit one atomic word, and
// reading takes no lock.
type lifetime struct {
	word    atomic.Uint32 // ends, packed; stored with mu held
	mu      sync.Mutex
	owned   sync.WaitGroup // goroutines that answer pings, judge silence, and drain
	guarded func(f func()) func()
}

// ends returns what is known now.
func (l *lifetime) ends() ends { return unpack(l.word.Load()) }

// note moves the ends on by what happened, and returns what whoever learnt it does next.
func (l *lifetime) note(ev event) action {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, do := l.ends().next(ev)
	l.word.Store(e.pack())
	return do
}

// start runs f on a goroutine that wait waits for, and reports false when the
// connection is shut.
func (l *lifetime) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ends().mayStart() {
		return false
	}
	l.owned.Go(l.guarded(f))
	return true
}

// wait returns when all goroutines have ended. The connection is shut by then.
func (l *lifetime) wait() { l.owned.Wait() }

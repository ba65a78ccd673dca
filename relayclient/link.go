package relayclient

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// link is a connection to the relay that has finished its TLS handshake and carried nothing
// yet.
type link struct {
	*tls.Conn
	socket  *socket // the TCP connection beneath; nil where it cannot be read without waiting
	born    time.Time
	guarded func(f func()) func() // wraps what runs on a goroutine of its own
}

// Close resets the connection. Nothing was said over it that a polite end would complete.
// The error is always nil.
func (l *link) Close() error {
	abort(l.Conn)
	return nil
}

// silent reports whether the relay has said nothing: it has neither ended the connection nor
// answered a request that was never made, as a front end may that is tired of waiting.
// Records of TLS itself do not count.
func (l *link) silent() bool {
	if l.socket == nil {
		return true // the answer to the request will tell
	}
	l.socket.nowait, l.socket.emptied = true, false
	_, err := l.Conn.Read(make([]byte, 1))
	l.socket.nowait = false
	return errors.Is(err, errNotYet)
}

// ackInterval is how often watchUnacked looks.
const ackInterval = time.Second

// watchUnacked watches a link that had waited and is now written to, until stop is called,
// and resets it when the request is not acknowledged: a connection that a machine on the
// way has forgotten is neither answered nor refused. Stop reports whether it was reset.
func (l *link) watchUnacked() (stop func() (givenUp bool)) {
	var mu sync.Mutex
	var over, givenUp bool
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, l.guarded(func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		if p := pathOf(l); p.unacked > 0 && p.retransmitted {
			givenUp = true
			abort(l.Conn)
			return
		}
		timer.Reset(ackInterval)
	}))
	timer.Reset(ackInterval) // only now, when the function may use it
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
		return givenUp
	}
}

package relayclient

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrUnresponsive is returned by Read and Write when the relay left a ping
// unanswered: the connection is dead although nobody closed it.
var ErrUnresponsive = errors.New("relayclient: the relay stopped answering")

// pongTimeout is how long a ping's answer may take.
const pongTimeout = 10 * time.Second

// keepAlive pings a silent connection. It is one timer, no goroutine.
type keepAlive struct {
	interval time.Duration

	// Only the timer's function touches these.
	pinged time.Time // when the unanswered ping was sent, zero when there is none
	before time.Time // since when the read was waiting then

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func (c *Conn) startKeepAlive(interval time.Duration) {
	k := &c.keepAlive
	k.interval = interval
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(interval, func() { c.body.start(c.checkAlive) })
}

// checkAlive runs when the timer fires. Whatever arrives is a sign of life.
// Silence is judged only by a read that waits: while the app takes no data nobody
// reads, and an answer may lie unread; pings then only keep the way open. A ping
// that cannot leave because the relay takes no data proves nothing either, as
// long as the relay's kernel acknowledges. After our Close frame no ping may be
// sent, so the check ends there.
func (c *Conn) checkAlive() {
	k := &c.keepAlive
	if c.body.closeSent.Load() {
		return
	}
	path := pathOf(c.raw)
	since, waits := c.body.waitingSince()
	answered := k.pinged.IsZero() || !waits || !since.Equal(k.before)
	switch {
	case path.unanswered(k.interval + pongTimeout),
		!answered && time.Since(k.pinged) >= pongTimeout && !path.heldBack():
		err := fmt.Errorf("%w: no answer to a ping within %v", ErrUnresponsive, pongTimeout)
		c.cause.CompareAndSwap(nil, &err)
		abort(c.raw)
		_ = c.body.Close() // where abort found no TCP beneath
		return
	case !answered:
		k.rearm(min(k.interval, pongTimeout)) // TCP repeats the ping by itself
		return
	}
	k.pinged = time.Time{}
	if silent := time.Since(since); waits && silent < k.interval {
		k.rearm(k.interval - silent)
		return
	}
	if c.body.ping() && waits {
		k.pinged, k.before = time.Now(), since
	}
	k.rearm(min(k.interval, pongTimeout))
}

func (k *keepAlive) rearm(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stopped {
		k.timer.Reset(d)
	}
}

func (k *keepAlive) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	k.timer.Stop()
}

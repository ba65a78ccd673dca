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
	pinged   bool      // a ping waits for its answer; only the timer's function touches this
	before   time.Time // since when the read was waiting when it was sent

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

// checkAlive runs when the timer fires. Only a read that waits can tell silence:
// while the app takes no data, nobody reads, and an answer may lie unread. A ping
// whose bytes have not left because the relay takes no data proves nothing
// either; the kernel's probes then decide whether the far machine is there.
// Whatever arrives is a sign of life. After our Close frame no ping may be sent,
// so the check ends there.
func (c *Conn) checkAlive() {
	k := &c.keepAlive
	if c.body.closeSent.Load() {
		return
	}
	since, waits := c.body.waitingSince()
	silent := time.Since(since)
	switch {
	case !waits:
		k.pinged = false
		k.rearm(k.interval)
	case silent < k.interval:
		k.pinged = false
		k.rearm(k.interval - silent)
	case k.pinged && since.Equal(k.before) && unsent(c.raw) == 0:
		err := fmt.Errorf("%w: no answer to a ping within %v", ErrUnresponsive, pongTimeout)
		c.cause.CompareAndSwap(nil, &err)
		abort(c.raw)
		_ = c.body.Close() // where abort found no TCP beneath
	case k.pinged && since.Equal(k.before):
		k.rearm(pongTimeout)
	default:
		k.pinged, k.before = c.body.ping(), since
		k.rearm(pongTimeout)
	}
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

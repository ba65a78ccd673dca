package relayclient

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrUnresponsive is returned by Read and Write when the relay left a ping unanswered: the
// connection is dead although nobody closed it.
var ErrUnresponsive = errors.New("relayclient: the relay stopped answering")

// errNoPong is what Read and Write return then.
var errNoPong = fmt.Errorf("%w: no answer to a ping", ErrUnresponsive)

const (
	// pongTimeout is how long a ping's answer may take.
	pongTimeout = 10 * time.Second
	// stallTimeout is how long a ping's answer may take while data of ours may stand before
	// the ping. It is about what Linux gives a connection on which nothing gets through
	// (tcp(7), tcp_retries2: 924 s by default).
	stallTimeout = 15 * time.Minute
)

// keepAlive pings a silent connection. It is one timer, no goroutine.
type keepAlive struct {
	interval time.Duration

	// Only checkAlive touches these.
	pinged time.Time // when the first unanswered ping was sent; zero when there is none
	before time.Time // when the read that waited at that moment had begun to wait

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func (c *Conn) startKeepAlive(interval time.Duration) {
	k := &c.keepAlive
	k.interval = interval
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(interval, c.state.guarded(func() { c.state.start(c.checkAlive) }))
}

// checkAlive runs when the timer fires. Whatever arrives is a sign of life.
//
// Silence is judged only by a read that waits: while the app takes no data nobody reads,
// and an answer may lie unread; pings then only keep the way open. The relay does not meet
// a ping either while a target that takes no data holds up what we sent before it. So once
// data was sent that no pong has confirmed, only TCP acknowledgements count, for up to
// stallTimeout: a live machine sends them. After our Close frame no ping may be sent, and
// the check ends.
func (c *Conn) checkAlive() {
	k := &c.keepAlive
	if c.state.ends().ours == oursClosed {
		return
	}
	since, waits := c.in.waitingSince()
	if k.pinged.IsZero() || !waits || !since.Equal(k.before) {
		k.pinged = time.Time{}
	}
	patience := pongTimeout
	if !c.out.confirmed() {
		patience = stallTimeout
	}
	if !k.pinged.IsZero() && time.Since(k.pinged) >= patience || pathOf(c.raw).unanswered(k.interval+pongTimeout) {
		if c.state.note(onNoPong) == doAbort {
			abort(c.raw)
			_ = c.tunnel.Close() // where abort found no TCP beneath
		}
		return
	}
	if silent := time.Since(since); waits && silent < k.interval {
		k.rearm(k.interval - silent)
		return
	}
	sending := c.out.tryTurn()
	if sending && waits && k.pinged.IsZero() {
		k.pinged, k.before = time.Now(), since
	}
	k.rearm(min(k.interval, pongTimeout))
	if sending {
		c.out.sendPing() // after all else, for it may wait for room
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

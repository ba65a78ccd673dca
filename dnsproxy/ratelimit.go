package dnsproxy

import (
	"sync/atomic"
	"time"
)

// A rateLimit lets a warning that repeats through once a minute. The zero value is
// ready.
type rateLimit struct {
	lastWarned atomic.Int64 // in Unix nanoseconds; 0 means never
}

// allow reports whether the caller is to warn now, and starts the next minute if
// so. A clock that was set back looks like a long time.
func (l *rateLimit) allow() bool {
	now := time.Now().UnixNano()
	last := l.lastWarned.Load()
	return uint64(now-last) >= uint64(time.Minute) && l.lastWarned.CompareAndSwap(last, now)
}

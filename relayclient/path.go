package relayclient

import "time"

// path is what the kernel knows of the way to the relay. The zero value knows nothing.
type path struct {
	unacked       uint32        // segments on their way
	retransmitted bool          // the oldest of them has been sent again
	sinceAck      time.Duration // since the relay's kernel last acknowledged anything
}

// unanswered reports whether the relay's machine has acknowledged nothing for d although
// something was sent, again and again. A machine that is there acknowledges even while its
// program takes no data.
func (p path) unanswered(d time.Duration) bool {
	return p.unacked > 0 && p.retransmitted && p.sinceAck > d
}

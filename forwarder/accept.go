package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// acceptQueue is how many connections the kernel keeps for us to accept, where
// nobody has changed that: net.core.somaxconn.
const acceptQueue = 4096

// accept serves ln until it is closed.
func (s *serving) accept(ctx context.Context, ln Listener) {
	var trouble acceptTrouble
	var late int // how many more may have waited long for a slot
	for {
		app, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		accepted := time.Now()
		if err != nil {
			if trouble.fail(accepted) {
				s.logger().LogAttrs(ctx, slog.LevelError, "accept failed, retrying",
					slog.String("endpoint", ln.Target), slog.Any("error", err))
			}
			if !sleep(ctx, trouble.pause) {
				return
			}
			continue
		}
		if trouble.succeed(accepted) {
			s.logger().LogAttrs(ctx, slog.LevelInfo, "accept works again", slog.String("endpoint", ln.Target))
		}
		prepare(app)
		s.countOpened()
		c := newConn(s, app, ln, accepted)
		waited, reserved := s.reserve(ctx, ln.Target)
		if !reserved {
			c.turnAway(ctx)
			return
		}
		if waited {
			late = acceptQueue
		}
		c.late = late > 0
		late = max(0, late-1)
		s.conns.Add(1)
		s.dialers.run(func() { c.serve(ctx) })
	}
}

// reserve takes a slot, waiting while all are taken, unless ctx ends first.
func (s *serving) reserve(ctx context.Context, target string) (waited, reserved bool) {
	select {
	case s.slots <- struct{}{}:
		return false, true
	default:
	}
	s.full.Do(func() {
		s.logger().LogAttrs(ctx, slog.LevelWarn, "connections have to wait: the limit is reached",
			slog.Int("limit", cap(s.slots)), slog.String("endpoint", target))
	})
	select {
	case s.slots <- struct{}{}:
		return true, true
	case <-ctx.Done():
		return true, false
	}
}

// The pauses after an accept failed: descriptors come back soon or not at all.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
	// acceptSettled is how long accept has to work before a failure is over: while
	// descriptors are scarce, each that comes back is taken at once.
	acceptSettled = 10 * time.Second
)

// acceptTrouble is what is known of a listener that may fail to accept.
type acceptTrouble struct {
	pause  time.Duration // before the next attempt
	failed time.Time     // when accept last failed; zero once that is over
}

// fail notes a failure, and reports whether it is the first of its trouble.
func (t *acceptTrouble) fail(now time.Time) (first bool) {
	first = t.failed.IsZero()
	t.failed = now
	t.pause = min(max(2*t.pause, minAcceptPause), maxAcceptPause)
	return first
}

// succeed notes a success, and reports whether a trouble is over by it.
func (t *acceptTrouble) succeed(now time.Time) (over bool) {
	t.pause = 0
	if t.failed.IsZero() || now.Sub(t.failed) < acceptSettled {
		return false
	}
	t.failed = time.Time{}
	return true
}

// sleep pauses for d and reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

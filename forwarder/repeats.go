package forwarder

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// An app that tries again and again, in a hundred threads, fails a thousand times
// a second for one reason. Of connections that fail alike, so many whole lines
// are written within a window; the others are counted, and one line tells.
const (
	repeatLines  = 10
	repeatWindow = 10 * time.Second
)

// repeats counts what is not written. There is a goroutine per open window, and
// no more windows than endpoints, causes and reasons allow.
type repeats struct {
	log     *slog.Logger
	guarded func(f func()) func()
	over    chan struct{} // closed when all connections have ended

	mu      sync.Mutex
	windows map[likeness]*window
	waiting sync.WaitGroup // for the windows' ends
}

// likeness is what connections have in common that fail alike.
type likeness struct {
	endpoint string
	cause    Cause
	reason   string // of the error, one of a few labels; "" where it gives none
}

type window struct{ lines, counted int }

func newRepeats(log *slog.Logger, guarded func(f func()) func()) *repeats {
	return &repeats{log: log, guarded: guarded, over: make(chan struct{}), windows: make(map[likeness]*window)}
}

// whole reports whether a connection that failed gets its own line, and counts it
// where it does not.
func (r *repeats) whole(ctx context.Context, l likeness) bool {
	if r.log.Enabled(ctx, slog.LevelDebug) {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[l]
	if w == nil {
		w = new(window)
		r.windows[l] = w
		r.waiting.Go(r.guarded(func() { r.await(l) }))
	}
	if w.lines == repeatLines {
		w.counted++
		return false
	}
	w.lines++
	return true
}

// await closes a window in time, and tells what was counted.
func (r *repeats) await(l likeness) {
	timer := time.NewTimer(repeatWindow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.over:
	}
	r.mu.Lock()
	counted := r.windows[l].counted
	delete(r.windows, l)
	r.mu.Unlock()
	if counted == 0 {
		return
	}
	attrs := []slog.Attr{slog.String("endpoint", l.endpoint), slog.String("cause", string(l.cause))}
	if l.reason != "" {
		attrs = append(attrs, slog.String("reason", l.reason))
	}
	r.log.LogAttrs(context.Background(), slog.LevelWarn, "connections failed alike", append(attrs,
		slog.Int("count", counted), slog.String("within", repeatWindow.String()),
		slog.String("next", "see the last line of such a connection; at level debug each has its own"))...)
}

// end closes all windows. No connection may end any more.
func (r *repeats) end() {
	close(r.over)
	r.waiting.Wait()
}

package forwarder

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// An app that tries again and again, in a hundred threads, fails a thousand times
// a second for one reason. Of failures of one kind, repeatLines have a line of their
// own within repeatWindow; the others are counted, and one line gives their number.
const (
	repeatLines  = 10
	repeatWindow = 10 * time.Second
)

// repeats counts the failures that have no line of their own. There is a goroutine
// per open window, and no more windows than endpoints, causes and reasons allow.
type repeats struct {
	log     *slog.Logger
	guarded func(f func()) func()
	over    chan struct{} // closed when all connections have ended

	mu      sync.Mutex
	windows map[failureKind]*window
	waiting sync.WaitGroup // for closeWindow
}

// failureKind is what similar failures have in common.
type failureKind struct {
	endpoint string
	cause    Cause
	reason   string // of the error, one of a few labels; "" where it gives none
}

type window struct{ lines, suppressed int }

func newRepeats(log *slog.Logger, guarded func(f func()) func()) *repeats {
	return &repeats{log: log, guarded: guarded, over: make(chan struct{}), windows: make(map[failureKind]*window)}
}

// admit reports whether a connection that failed gets a line of its own, and counts
// it where it does not.
func (r *repeats) admit(ctx context.Context, kind failureKind) bool {
	if r.log.Enabled(ctx, slog.LevelDebug) {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[kind]
	if w == nil {
		w = new(window)
		r.windows[kind] = w
		r.waiting.Go(r.guarded(func() { r.closeWindow(kind) }))
	}
	if w.lines == repeatLines {
		w.suppressed++
		return false
	}
	w.lines++
	return true
}

// closeWindow waits for a window's end, and logs how many failures it suppressed.
func (r *repeats) closeWindow(kind failureKind) {
	timer := time.NewTimer(repeatWindow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.over:
	}
	r.mu.Lock()
	suppressed := r.windows[kind].suppressed
	delete(r.windows, kind)
	r.mu.Unlock()
	if suppressed == 0 {
		return
	}
	attrs := []slog.Attr{slog.String("endpoint", kind.endpoint), slog.String("cause", string(kind.cause))}
	if kind.reason != "" {
		attrs = append(attrs, slog.String("reason", kind.reason))
	}
	r.log.LogAttrs(context.Background(), slog.LevelWarn, "similar failures suppressed", append(attrs,
		slog.Int("count", suppressed), slog.String("within", repeatWindow.String()))...)
}

// end closes all windows. It is called once no connection can end any more.
func (r *repeats) end() {
	close(r.over)
	r.waiting.Wait()
}

package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// lifetime is a group of goroutines that are needed equally long.
type lifetime struct {
	ctx     context.Context // of all of them
	stop    context.CancelFunc
	guarded func(f func()) func()
	running sync.WaitGroup
	after   []func()
}

func newLifetime(ctx context.Context, guarded func(f func()) func()) *lifetime {
	l := &lifetime{guarded: guarded}
	l.ctx, l.stop = context.WithCancel(ctx)
	return l
}

// run starts f, which returns soon after its context has ended, or by itself.
func (l *lifetime) run(f func(ctx context.Context)) {
	l.running.Go(l.guarded(func() { f(l.ctx) }))
}

// finally has end call f once all goroutines have ended.
func (l *lifetime) finally(f func()) { l.after = append(l.after, f) }

// end stops the group, and waits for it.
func (l *lifetime) end() {
	l.stop()
	l.running.Wait()
	for _, f := range l.after {
		f()
	}
}

// lifetimes are everything that runs beside the connections. They end one after the
// other, in this order.
type lifetimes struct {
	// untilDrain ends as soon as the drain begins: work that only new connections need.
	untilDrain *lifetime
	// untilLastConnection ends with the last connection: what open connections and dials
	// need.
	untilLastConnection *lifetime
	// resolver ends after the connections: an app that is drained still asks for names.
	resolver *lifetime
	// admin ends last: probes and metrics tell of all the rest.
	admin *lifetime

	drain func()
	log   *slog.Logger

	mu     sync.Mutex
	failed []error
}

// newLifetimes returns the lifetimes of a sidecar that drains when ctx ends, which
// drain brings about.
func newLifetimes(ctx context.Context, drain func(), guarded func(f func()) func(), log *slog.Logger) *lifetimes {
	beyond := context.WithoutCancel(ctx)
	return &lifetimes{
		untilDrain:          newLifetime(ctx, guarded),
		untilLastConnection: newLifetime(beyond, guarded),
		resolver:            newLifetime(beyond, guarded),
		admin:               newLifetime(beyond, guarded),
		drain:               drain,
		log:                 log,
	}
}

// part runs a server in one of the lifetimes. If it ends early the sidecar drains, so
// that what is open may finish; its error is end's.
func (l *lifetimes) part(in *lifetime, name string, serve func(ctx context.Context) error) {
	in.run(func(ctx context.Context) {
		err := serve(ctx)
		l.drain()
		if err == nil {
			return
		}
		l.log.Error("a part of the program failed: draining", "part", name, "error", err)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failed = append(l.failed, fmt.Errorf("the %s failed: %w", name, err))
	})
}

// end is called when the last connection has ended. It ends the lifetimes in their
// order, waiting for each, and returns the errors of the parts that failed.
func (l *lifetimes) end() error {
	for _, one := range []*lifetime{l.untilDrain, l.untilLastConnection, l.resolver, l.admin} {
		one.end()
	}
	return errors.Join(l.failed...)
}

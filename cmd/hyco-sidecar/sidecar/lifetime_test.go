package sidecar

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// diary is what happened, in order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(entry string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

func unguarded(f func()) func() { return f }

// TestConnectionsEndFirstThenNamesThenAdmin goes through a drain in which every group
// needs a second for its end: none is told to end while one before it still runs.
func TestConnectionsEndFirstThenNamesThenAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, drain := context.WithCancel(t.Context())
		defer drain()
		var d diary
		l := newLifetimes(ctx, drain, unguarded, slog.New(slog.DiscardHandler))
		member := func(name string) func(ctx context.Context) {
			return func(ctx context.Context) {
				<-ctx.Done()
				d.note(name + " is told")
				time.Sleep(time.Second)
				d.note(name + " has ended")
			}
		}
		server := func(name string) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				member(name)(ctx)
				return nil
			}
		}
		l.part(l.admin, "admin server", server("admin"))
		l.part(l.resolver, "resolver", server("resolver"))
		l.untilDrain.run(member("preflight"))
		l.untilLastConnection.run(member("secrets"))
		l.untilLastConnection.finally(func() { d.note("clients are closed") })

		time.Sleep(time.Hour)
		d.note("drain")
		drain()
		synctest.Wait()
		time.Sleep(time.Minute)
		d.note("the last connection ends")
		if err := l.end(); err != nil {
			t.Error(err)
		}
		want := []string{
			"drain",
			"preflight is told", "preflight has ended",
			"the last connection ends",
			"secrets is told", "secrets has ended", "clients are closed",
			"resolver is told", "resolver has ended",
			"admin is told", "admin has ended",
		}
		if !slices.Equal(d.entries, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(d.entries, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestAPartThatFailsDrainsTheRest: what is open may finish, and the rest goes on until
// then.
func TestAPartThatFailsDrainsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, drain := context.WithCancel(t.Context())
		defer drain()
		var log strings.Builder
		l := newLifetimes(ctx, drain, unguarded, slog.New(slog.NewTextHandler(&log, nil)))
		broken := errors.New("the socket is gone")
		admin := make(chan struct{})
		l.part(l.admin, "admin server", func(ctx context.Context) error {
			defer close(admin)
			<-ctx.Done()
			return nil
		})
		l.part(l.resolver, "resolver", func(context.Context) error {
			time.Sleep(time.Hour)
			return broken
		})

		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatal("it drains although every part works")
		}
		<-ctx.Done()
		synctest.Wait()
		select {
		case <-admin:
			t.Error("the admin server has ended with the resolver")
		default:
		}
		if err := l.end(); !errors.Is(err, broken) || err.Error() != "the resolver failed: the socket is gone" {
			t.Errorf("got %v", err)
		}
		if want := `level=ERROR msg="a part of the program failed: draining" part=resolver error="the socket is gone"`; strings.Count(log.String(), want) != 1 {
			t.Errorf("the log is %q, want once %s", log.String(), want)
		}
	})
}

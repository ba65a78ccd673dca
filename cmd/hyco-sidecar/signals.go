package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/logging"
)

// sameSignal is how close to the first a second signal still belongs to it:
// timeout(1) and some supervisors signal a process and then its group.
const sameSignal = 250 * time.Millisecond

// untilSignalled returns a context that the first SIGTERM or SIGINT ends; the
// second ends the process. Connections that are then open are reset.
func untilSignalled(log *slog.Logger, guarded func(f func()) func()) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(guarded(func() {
		select {
		case s := <-signals:
			cancel() // before the line: a log that nobody reads blocks
			log.Info("draining", "signal", s.String())
		case <-done:
			return
		}
		for began := time.Now(); ; {
			select {
			case s := <-signals:
				if time.Since(began) >= sameSignal {
					time.AfterFunc(logging.LastWords, guarded(func() { os.Exit(exitFailed) }))
					log.Warn("exiting at once", "signal", s.String())
					os.Exit(exitFailed)
				}
			case <-done:
				return
			}
		}
	}))
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watch.Wait()
		cancel()
	}
}

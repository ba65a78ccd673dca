package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// sameSignal is how close to the first a second signal still belongs to it:
// timeout(1) and some supervisors signal a process and then its group.
const sameSignal = 250 * time.Millisecond

// untilSignalled returns a context that the first SIGTERM or SIGINT ends; the
// second ends the process. Connections that are then open are reset.
func untilSignalled(log *slog.Logger, panicked guard) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		defer panicked.raise()
		select {
		case s := <-signals:
			cancel() // first: whoever reads the log may not
			log.Info("draining", "signal", s.String())
		case <-done:
			return
		}
		for began := time.Now(); ; {
			select {
			case s := <-signals:
				if time.Since(began) >= sameSignal {
					time.AfterFunc(lastWords, func() {
						defer panicked.raise()
						os.Exit(exitFailed)
					})
					log.Warn("exiting at once", "signal", s.String())
					os.Exit(exitFailed)
				}
			case <-done:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watch.Wait()
		cancel()
	}
}

package forwarder

import (
	"context"
	"errors"
	"os"
	"time"
)

// errAppLeft ends a dial whose app has reset the connection.
var errAppReset = errors.New("forwarder: the app reset the connection")

// maxEarly bounds what is read of an app while we dial; the kernel keeps more.
const maxEarly = 64 << 10

// early is what the app did while we dialled.
type early struct {
	data []byte // what it sent
	eof  bool   // it ended its stream after data
	err  error  // it reset the connection
}

// gaveUp reports whether the app reset the connection, or ended its stream without a
// byte.
func (e *early) gaveUp() bool { return e.err != nil || e.eof && len(e.data) == 0 }

// watchAfter is how long a dial has to take before anybody looks whether the app
// is still there. Most are over by then.
const watchAfter = 200 * time.Millisecond

// watch reads ahead from app, the only way to learn that it has left, until stop
// is called, which returns what was read. A reset cancels the dial; an end of
// stream without a byte closes noRetry.
func watch(guarded func(f func()) func(), app *reader, cancel context.CancelCauseFunc,
	noRetry chan<- struct{}) (stop func() early) {
	done, stopped := make(chan early, 1), make(chan struct{})
	timer := time.AfterFunc(watchAfter, guarded(func() { done <- readAhead(app, cancel, noRetry, stopped) }))
	return func() early {
		if timer.Stop() {
			return early{}
		}
		close(stopped)
		// A deadline in the past ends the read; an error means that it has ended.
		_ = app.conn.SetReadDeadline(time.Unix(1, 0))
		e := <-done
		_ = app.conn.SetReadDeadline(time.Time{})
		return e
	}
}

// readAhead reads from app until its end, stopped or maxEarly.
func readAhead(app *reader, cancel context.CancelCauseFunc, noRetry chan<- struct{}, stopped <-chan struct{}) (e early) {
	for len(e.data) < maxEarly {
		data, err := app.read()
		e.data = append(e.data, data...)
		app.giveBack()
		switch {
		case err == nil:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
		case isEnd(err):
			e.eof = true
			if len(e.data) == 0 {
				close(noRetry)
			}
		default:
			e.err = err
			cancel(errAppReset)
		}
		return e
	}
	e.err = awaitReset(app, cancel, stopped)
	return e
}

// resetCheck is how often an app that has sent maxEarly is looked after.
const resetCheck = time.Second

// awaitReset waits until the app has reset the connection, or for stopped.
func awaitReset(app *reader, cancel context.CancelCauseFunc, stopped <-chan struct{}) error {
	look := time.NewTicker(resetCheck)
	defer look.Stop()
	for {
		select {
		case <-stopped:
			return nil
		case <-look.C:
		}
		if takeReset(app.conn) {
			cancel(errAppReset)
			return errAppReset
		}
	}
}

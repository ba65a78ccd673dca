package forwarder

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// errAppLeft ends a dial whose app has reset the connection.
var errAppLeft = errors.New("forwarder: the app reset the connection")

// early is what the app did while we dialled.
type early struct {
	data []byte // sent already, at most a buffer full
	eof  bool   // and then ended its stream
	err  error  // or reset the connection
}

// gaveUp reports whether the app left before it sent anything.
func (e *early) gaveUp() bool { return e.err != nil || e.eof && len(e.data) == 0 }

// watch reads ahead from app into buf, the only way to learn that it has left,
// until stop is called, which returns what was read. A reset cancels the dial;
// an end of stream without a byte closes last.
func watch(app net.Conn, buf []byte, cancel context.CancelCauseFunc, last chan<- struct{}) (stop func() early) {
	done := make(chan early, 1)
	go func() {
		n := 0
		for n < len(buf) {
			m, err := app.Read(buf[n:])
			n += m
			switch {
			case err == nil:
			case errors.Is(err, os.ErrDeadlineExceeded):
				done <- early{data: buf[:n]}
				return
			case err == io.EOF:
				if n == 0 {
					close(last)
				}
				done <- early{data: buf[:n], eof: true}
				return
			default:
				cancel(errAppLeft)
				done <- early{data: buf[:n], err: err}
				return
			}
		}
		done <- early{data: buf}
	}()
	return func() early {
		// A deadline in the past ends the read; an error means that it has ended.
		_ = app.SetReadDeadline(time.Unix(1, 0))
		e := <-done
		_ = app.SetReadDeadline(time.Time{})
		return e
	}
}

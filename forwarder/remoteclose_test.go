package forwarder_test

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

func TestRemoteCloseWithoutDataIsAReset(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration
		want  forwarder.Cause
	}{
		{"a refused target", 2 * time.Second, forwarder.TargetUnreachable},
		{"a black hole", 21 * time.Second, forwarder.TargetUnreachable},
		{"much later", 2 * time.Minute, forwarder.ClosedWithoutData},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, nil)
				app, target := b.open(t)
				write(t, app, "question")
				time.Sleep(test.after)
				target.CloseWrite()
				wantReset(t, "app", app)
				wantCause(t, b.finish(t), test.want)
				if line := b.log.String(); !strings.Contains(line, `"cause":"`+string(test.want)+`"`) || !strings.Contains(line, "WARN") {
					t.Errorf("the log does not warn of %s:\n%s", test.want, line)
				}
			})
		})
	}
}

func TestRemoteFullCloseWhileTheAppSendsEndsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "go away")
		target.Close()
		wantAll(t, "app", app, "go away")
		write(t, app, "still talking")
		s := b.finish(t)
		wantCause(t, s, forwarder.RemoteClosed)
		if strings.Contains(b.log.String(), "WARN") {
			t.Errorf("an ordinary end is an alarm:\n%s", b.log.String())
		}
	})
}

// TestRemoteThatClosedFullyAndMissedNothingIsAnEnd: telling it of the app's end fails,
// but it has all the app ever sent.
func TestRemoteThatClosedFullyAndMissedNothingIsAnEnd(t *testing.T) {
	app, finish := overTCP(t, deaf{closedFully{answer: strings.NewReader("221 bye")}})
	wantAll(t, "app", app, "221 bye")
	app.Close()
	wantCause(t, finish(), forwarder.Closed)
}

// deaf is a remote half that has closed fully, and cannot be told of an end.
type deaf struct{ closedFully }

func (deaf) CloseWrite() error { return syscall.EPIPE }

func TestAppThatSendsOnAndStaysHasNotLingered(t *testing.T) {
	app, finish := overTCP(t, closedFully{answer: strings.NewReader("go away")},
		func(s *forwarder.Server) { s.Linger = 300 * time.Millisecond })
	defer app.Close()
	wantAll(t, "app", app, "go away")
	write(t, app, "still talking")
	wantCause(t, finish(), forwarder.RemoteClosed)
}

// TestAnswerSurvivesAnUploadThatNobodyTakes runs on real sockets: it is the kernel
// that throws an answer away when a socket is closed with unread data.
func TestAnswerSurvivesAnUploadThatNobodyTakes(t *testing.T) {
	const size = 8 << 20
	app, finish := overTCP(t, closedFully{answer: io.LimitReader(zeros{}, size)})
	uploaded := make(chan struct{})
	go func() {
		defer close(uploaded)
		for {
			if _, err := app.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	got, err := io.Copy(io.Discard, app)
	if err != nil || got != size {
		t.Errorf("the app got %d bytes, %v; want %d and the end of the stream", got, err, size)
	}
	app.Close()
	<-uploaded
	wantCause(t, finish(), forwarder.RemoteClosed)
}

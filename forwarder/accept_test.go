package forwarder_test

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

func TestConnectionsAboveTheLimitWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.MaxConnections = 1 })
		app, target := b.open(t)
		second, err := b.ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(b.targets); n != 0 {
			t.Errorf("%d connections dialled above the limit", n)
		}
		app.CloseWrite()
		synctest.Wait()
		target.Close()
		wantAll(t, "app", app, "")
		wantCause(t, <-b.summaries, forwarder.Closed)
		target = <-b.targets
		write(t, target, "now")
		target.CloseWrite()
		wantAll(t, "second app", second, "now")
		second.Close()
		wantCause(t, b.finish(t), forwarder.Closed)
		if got := strings.Count(b.log.String(), "connections have to wait"); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
	})
}

func TestConnectionThatNeverHadItsTurnIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.MaxConnections = 1 })
		b.open(t)
		second, err := b.ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.stop()
		wantReset(t, "second app", second)
		wantCause(t, <-b.summaries, forwarder.Shutdown)
		wantCause(t, b.finish(t), forwarder.Shutdown)
		if got := strings.Count(b.log.String(), `"shutdown"`); got != 2 {
			t.Errorf("%d lines tell of a connection's end, want 2:\n%s", got, b.log.String())
		}
	})
}

// flaky fails to accept for a while.
type flaky struct {
	net.Listener
	fails int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.fails > 0 {
		f.fails--
		return nil, syscall.EMFILE
	}
	return f.Listener.Accept()
}

func TestAcceptFailuresAreWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.accept = &flaky{b.ln, 12} })
		open := func() {
			app, target := b.open(t)
			target.Close()
			wantReset(t, "app", app)
		}
		open()
		<-b.summaries
		time.Sleep(time.Minute)
		open() // which proves that the first was no exception
		b.finish(t)
		for _, line := range []string{"accept failed, retrying", "accept works again", "too many open files"} {
			if got := strings.Count(b.log.String(), line); got != 1 {
				t.Errorf("%q logged %d times, want once:\n%s", line, got, b.log.String())
			}
		}
	})
}

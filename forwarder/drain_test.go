package forwarder_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

func TestDrainServesUntilTheLastConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		synctest.Wait()
		b.stop()
		time.Sleep(5 * time.Second)
		second, target2 := b.open(t)
		write(t, second, "last words")
		second.CloseWrite()
		wantAll(t, "second target", target2, "last words")
		target2.Close()
		wantAll(t, "second app", second, "")
		wantCause(t, <-b.summaries, forwarder.Closed)

		time.Sleep(5 * time.Second)
		write(t, target, "done")
		target.CloseWrite()
		wantAll(t, "app", app, "done")
		app.Close()
		wantCause(t, b.finish(t), forwarder.Closed)
		if _, err := b.ln.Dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after the drain: got %v, want refused", err)
		}
	})
}

func TestDrainResetsWhatIsOpenInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.DrainTimeout = 10 * time.Second })
		app, target := b.open(t)
		synctest.Wait()
		began := time.Now()
		b.stop()
		wantReset(t, "app", app)
		wantReset(t, "target", target)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("reset after %v, want 10s", took)
		}
		wantCause(t, b.finish(t), forwarder.Shutdown)
	})
}

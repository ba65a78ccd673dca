package forwarder_test

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

func TestLingerCountsSilenceNotTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		began := time.Now()
		app.CloseWrite()
		for range 5 {
			time.Sleep(100 * time.Second)
			write(t, target, "x")
		}
		got, err := io.ReadAll(app)
		if string(got) != "xxxxx" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("app: got %q, %v; want all bytes and a reset", got, err)
		}
		if took := time.Since(began); took != 620*time.Second {
			t.Errorf("ended after %v, want 500 s of bytes and 120 s of silence", took)
		}
		wantCause(t, b.finish(t), forwarder.Lingered)
	})
}

func TestSilentAppIsFreedAfterTheRemoteEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "bye")
		target.CloseWrite()
		began := time.Now()
		wantReset(t, "target", target)
		if took := time.Since(began); took != 120*time.Second {
			t.Errorf("freed after %v, want 120s", took)
		}
		wantAll(t, "app", app, "bye")
		wantCause(t, b.finish(t), forwarder.Lingered)
	})
}

func TestIdleConnectionsAreReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.IdleTimeout = time.Minute })
		app, target := b.open(t)
		time.Sleep(40 * time.Second)
		write(t, app, "x")
		began := time.Now()
		wantReset(t, "app", app)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("reset after %v of silence, want 1m0s", took)
		}
		wantReset(t, "target", target)
		wantCause(t, b.finish(t), forwarder.IdleTimeout)
	})
}

package forwarder_test

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

func TestAppHalfCloseLetsTheAnswerThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, app, "question")
		app.CloseWrite()
		wantAll(t, "target", target, "question")
		time.Sleep(time.Minute) // below Linger
		write(t, target, "answer")
		target.CloseWrite()
		wantAll(t, "app", app, "answer")
		s := b.finish(t)
		wantCause(t, s, forwarder.Closed)
		if s.Up != 8 || s.Down != 6 {
			t.Errorf("bytes: got up %d down %d, want 8 and 6", s.Up, s.Down)
		}
	})
}

func TestRemoteHalfCloseLetsTheAppGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "hello")
		target.CloseWrite()
		wantAll(t, "app", app, "hello")
		write(t, app, "a long upload")
		app.CloseWrite()
		wantAll(t, "target", target, "a long upload")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

func TestRemoteShutdownWithoutDataLetsTheAppGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.shutdown = true })
		app, target := b.open(t)
		target.CloseWrite()
		wantAll(t, "app", app, "")
		write(t, app, "upload")
		app.CloseWrite()
		wantAll(t, "target", target, "upload")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

func TestRemoteCloseWithoutDataAfterTheAppEndedIsAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, app, "one way")
		app.CloseWrite()
		wantAll(t, "target", target, "one way")
		target.Close()
		wantAll(t, "app", app, "")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

func TestHalfClosedAppIsNotCut(t *testing.T) {
	for name, closed := range map[string]func(app, us netip.AddrPort) (bool, error){
		"the app still has it": func(_, _ netip.AddrPort) (bool, error) { return false, nil },
		"nobody can tell":      func(_, _ netip.AddrPort) (bool, error) { return false, errors.ErrUnsupported },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, func(b *testbed) { b.server.AppClosed = closed })
				app, target := b.open(t)
				app.CloseWrite()
				time.Sleep(119 * time.Second)
				write(t, target, "late")
				target.CloseWrite()
				wantAll(t, "app", app, "late")
				wantCause(t, b.finish(t), forwarder.Closed)
			})
		})
	}
}

func TestRemoteThatPromisedToReadOnAndDoesNotIsAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.shutdown = true })
		app, target := b.open(t)
		write(t, target, "hello")
		target.CloseWrite()
		wantAll(t, "app", app, "hello")
		target.SetLinger(0)
		target.Close()
		write(t, app, "lost")
		s := b.finish(t)
		wantCause(t, s, forwarder.TunnelDropped)
		if _, err := app.Write([]byte("more")); err == nil {
			t.Error("the app can still write to nobody")
		}
	})
}

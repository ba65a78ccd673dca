package forwarder_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"hyco-sidecar/forwarder"
	"hyco-sidecar/test/memnet"
)

func TestAppResetBreaksTheTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, app, "half a")
		synctest.Wait()
		app.SetLinger(0)
		app.Close()
		wantReset(t, "target", target)
		wantCause(t, b.finish(t), forwarder.AppReset)
	})
}

func TestDroppedTunnelResetsTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "half an ans")
		synctest.Wait()
		target.SetLinger(0)
		target.Close()
		got, err := io.ReadAll(app)
		if string(got) != "half an ans" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("app: got %q, %v; want the data and a reset", got, err)
		}
		s := b.finish(t)
		wantCause(t, s, forwarder.TunnelDropped)
		if s.Err == nil {
			t.Error("the summary does not carry the error")
		}
	})
}

// TestAppThatResetsAfterItsEndFreesTheTunnelSoon runs on real sockets: after a reset
// the kernel has none to be asked about, and the far side does not answer either.
func TestAppThatResetsAfterItsEndFreesTheTunnelSoon(t *testing.T) {
	t.Parallel()
	near, far := memnet.Pipe()
	defer far.Close()
	var gone atomic.Bool
	app, finish := overTCP(t, &tunnel{Conn: near}, func(s *forwarder.Server) {
		s.AppClosed = func(netip.AddrPort, netip.AddrPort) (bool, error) {
			if gone.Load() {
				return false, errors.ErrUnsupported
			}
			return false, nil
		}
	})
	write(t, app, "question")
	app.CloseWrite()
	wantAll(t, "target", far, "question")
	app.SetLinger(0)
	app.Close()
	gone.Store(true)
	wantCause(t, finish(), forwarder.AppGone)
}

// TestAnswerThatWasResetIsNoEnd runs on real sockets: the reset is met by nothing but
// our end of stream, which the kernel refuses.
func TestAnswerThatWasResetIsNoEnd(t *testing.T) {
	near, far := memnet.Pipe()
	defer far.Close()
	app, finish := overTCP(t, &tunnel{Conn: near})
	write(t, app, "question")
	app.CloseWrite()
	wantAll(t, "target", far, "question")
	write(t, far, "a long answer")
	if _, err := io.ReadFull(app, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	app.SetLinger(0)
	app.Close()
	far.CloseWrite()
	wantCause(t, finish(), forwarder.AppGone)
}

// TestEmptyWriteTellsAReset holds on to what the kernel does: with data still
// unread, a write of nothing is the one call that meets the reset.
func TestEmptyWriteTellsAReset(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	app, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	us, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer us.Close()
	if _, err := app.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	if _, err := us.Write(nil); err != nil {
		t.Errorf("an open connection: got %v", err)
	}
	app.(*net.TCPConn).SetLinger(0)
	app.Close()
	if _, err := us.Write(nil); err == nil {
		t.Error("a reset connection: got no error")
	}
}

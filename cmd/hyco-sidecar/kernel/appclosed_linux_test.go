package kernel

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestAppClosedTellsAFullCloseFromAHalfClose(t *testing.T) {
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
	ask := func() bool {
		t.Helper()
		at := us.LocalAddr().(*net.TCPAddr).AddrPort()
		closed, err := AppClosed(us.RemoteAddr().(*net.TCPAddr).AddrPort(), at, at)
		if err != nil && os.Getenv("CI") != "true" {
			t.Skipf("this machine lacks an answer from sock_diag: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return closed
	}
	if ask() {
		t.Error("an open connection counts as closed")
	}
	app.(*net.TCPConn).CloseWrite()
	if ask() {
		t.Error("a half-closed connection counts as closed")
	}
	at := us.LocalAddr().(*net.TCPAddr).AddrPort()
	if closed, err := AppClosed(us.RemoteAddr().(*net.TCPAddr).AddrPort(), netip.MustParseAddrPort("10.1.2.3:80"), at); err == nil && closed {
		t.Error("one that might have been captured, and was not, counts as closed")
	}
	app.Close()
	if !ask() {
		t.Error("a closed connection counts as open")
	}
	// A kernel that finds neither end does not know; one that knows finds ours.
	if _, err := AppClosed(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.77.1.1:2"), netip.MustParseAddrPort("127.77.1.1:2")); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no such connection: got %v, want %v", err, errors.ErrUnsupported)
	}
	if _, err := AppClosed(netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"), netip.MustParseAddrPort("10.0.0.2:2")); err == nil {
		t.Error("a connection from elsewhere got an answer")
	}
}

func BenchmarkAppClosed(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	app, err := net.DialTimeout("tcp", ln.Addr().String(), time.Second)
	if err != nil {
		b.Fatal(err)
	}
	defer app.Close()
	from, to := app.LocalAddr().(*net.TCPAddr).AddrPort(), app.RemoteAddr().(*net.TCPAddr).AddrPort()
	for b.Loop() {
		if _, err := AppClosed(from, to, to); err != nil {
			b.Fatal(err)
		}
	}
}

package capture

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// alone moves the test to a network namespace of its own, in which lo is up.
func alone(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("this machine lacks the right to make a network namespace: %v", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}

func TestThousandsOfRules(t *testing.T) {
	alone(t)
	var endpoints []netip.AddrPort
	for i := range 5000 {
		endpoints = append(endpoints, at(fmt.Sprintf("127.77.%d.%d:80", i>>8, i&0xff))...)
	}
	endpoints = append(endpoints, at("[fd00::1]:80")...)
	p := NewPlan(endpoints, 8479)
	for range 2 { // the second in the place of the first
		if err := p.Install(); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []Lane{p.Lanes[0], p.Lanes[4999], p.Canary} {
		ln, err := net.Listen("tcp", l.To.String())
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		conn, err := net.Dial("tcp", l.From.String())
		if err != nil {
			t.Errorf("%s: %v", l.From, err)
			continue
		}
		defer conn.Close()
		if got := conn.RemoteAddr().String(); got != l.From.String() {
			t.Errorf("the app sees %s, want %s", got, l.From)
		}
		exempted := net.Dialer{Control: Exempt}
		if conn, err := exempted.DialContext(t.Context(), "tcp", l.From.String()); err == nil {
			conn.Close()
			t.Errorf("%s: a connection of our own was captured", l.From)
		}
	}
	if err := p.Verify(t.Context()); err != nil {
		t.Errorf("in place: %v", err)
	}
	for range 2 {
		if err := Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Verify(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("removed: got %v, want %v", err, ErrMissing)
	}
}

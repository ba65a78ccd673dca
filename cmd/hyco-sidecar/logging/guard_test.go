package logging

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// TestAPanicsValueCannotShowASecret: what has no words of its own is named by its
// type, since nobody knows what it holds.
func TestAPanicsValueCannotShowASecret(t *testing.T) {
	const key = "c2VjcmV0LWtleQ=="
	for _, test := range []struct {
		value any
		want  string
	}{
		{"out of range", "out of range"},
		{errors.New("out of range"), "out of range"},
		{http.Header{"Servicebusauthorization": {key}}, "a value of type http.Header"},
		{struct{ Key string }{key}, "a value of type struct { Key string }"},
		{[]string{key}, "a value of type []string"},
		{netip.AddrPort{}, "invalid AddrPort"},
		{nil, "a value of type <nil>"},
	} {
		if got := panicText(test.value); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestAPanicsLineIsBounded(t *testing.T) {
	if got := cut(strings.Repeat("a", 1<<20), maxPanic); len(got) != maxPanic+len("…") {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestAStackShowsWhatLedToThePanic(t *testing.T) {
	const origin = "hyco-sidecar/forwarder.(*conn).dial(0xc000)\n\t/src/conn.go:10 +0x1d\nhyco-sidecar/forwarder.(*Server).serve(0xc000)\n\t/src/server.go:20 +0x2a"
	again := "other.again()\n\t/src/again.go:5 +0x1\npanic({0x1?, 0x2?})\n\t/go/panic.go:100 +0x10\n" + origin
	for name, test := range map[string]struct{ stack, want string }{
		"a panic": {"goroutine 1 [running]:\nruntime/debug.Stack()\n\t/go/stack.go:26 +0x5e\nlogging.raise(0xc000)\n\t/src/guard.go:30 +0x2c\n" +
			"panic({0x1?, 0x2?})\n\t/go/panic.go:100 +0x10\n" + origin + "\n", origin},
		"a panic while another was under way": {"goroutine 1 [running]:\nlogging.raise(0xc000)\n\t/src/guard.go:30 +0x2c\n" +
			"panic({0x1?, 0x2?})\n\t/go/panic.go:100 +0x10\n" + again + "\n", again},
		"no panic": {origin, origin},
	} {
		if got := fromPanic(test.stack); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

func TestAHandlerMayGiveUpOnItsClient(t *testing.T) {
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // net/http compares like this
			t.Errorf("got %v, want http.ErrAbortHandler", v)
		}
	}()
	Guard(New(t.Output(), 0, "json"))(func() { panic(http.ErrAbortHandler) })()
}

package relayclient_test

import (
	"context"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/memnet"
)

// unwritable is a connection whose writes panic.
type unwritable struct{ *memnet.Conn }

func (unwritable) Write([]byte) (int, error) { panic("while writing") }

type panicked struct{ value, stack string }

// tell is a Guard that tells of a panic and leaves what the goroutine held to the test's end,
// where a process would end.
func tell(told chan<- panicked) func(f func()) func() {
	return func(f func()) func() {
		return func() {
			defer func() {
				if v := recover(); v != nil {
					told <- panicked{v.(string), string(debug.Stack())}
					runtime.Goexit()
				}
			}()
			f()
		}
	}
}

// TestAPanicIsHandedOn provokes one on goroutines that nobody but the connection waits for.
func TestAPanicIsHandedOn(t *testing.T) {
	for _, test := range []struct {
		name      string
		keepAlive time.Duration
		arrives   []byte
		in        string // a function on the stack
	}{
		{"while it pings", time.Millisecond, nil, "checkAlive"},
		{"while it answers a ping", time.Hour, frame(ws.OpPing, true, "there?"), "sendPong"},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := make(chan panicked, 1)
			near, far := memnet.Pipe()
			conn := relayclient.Guarded(unwritable{near}, test.keepAlive, tell(told))
			go func() { _, _ = conn.Read(make([]byte, 1)) }()
			_, _ = far.Write(test.arrives)
			if got := <-told; got.value != "while writing" || !strings.Contains(got.stack, test.in) {
				t.Errorf("got %q with\n%s\nwant it in %s", got.value, got.stack, test.in)
			}
		})
	}
}

// TestAPanicInACallbackIsHandedOn: package net calls these on goroutines of its own.
func TestAPanicInACallbackIsHandedOn(t *testing.T) {
	for name, client := range map[string]*relayclient.Client{
		"Nameserver": {Namespace: "contoso.invalid", Nameserver: func(context.Context, string, string) (net.Conn, error) { panic("provoked") }},
		"Control":    {Namespace: "127.0.0.1:1", Control: func(string, string, syscall.RawConn) error { panic("provoked") }},
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan panicked, 2) // one for each kind of address
			client.Guard = tell(told)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { _, _ = client.Dial(ctx, relayclient.Request{Entity: "orders-hc"}) }()
			if got := <-told; got.value != "provoked" {
				t.Errorf("got %q with\n%s", got.value, got.stack)
			}
		})
	}
}

package forwarder_test

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/forwarder"
	"hyco-sidecar/test/memnet"
)

// panicsWhenRead is a remote side whose reads panic.
type panicsWhenRead struct{ net.Conn }

func (panicsWhenRead) Read([]byte) (int, error) { panic("while reading") }

// panicsWhenWritten is a remote side whose writes panic.
type panicsWhenWritten struct{ net.Conn }

func (panicsWhenWritten) Write([]byte) (int, error) { panic("while writing") }

// TestEveryGoroutineIsGuarded provokes a panic on each kind of goroutine.
func TestEveryGoroutineIsGuarded(t *testing.T) {
	remote := func(wrap func(net.Conn) net.Conn) func(*forwarder.Server) {
		return func(s *forwarder.Server) {
			s.Dial = func(context.Context, forwarder.Request) (net.Conn, error) {
				near, _ := memnet.Pipe()
				return wrap(near), nil
			}
		}
	}
	for _, test := range []struct {
		name   string
		adjust func(*forwarder.Server)
		want   string // the panic's value
		in     string // a function on the stack
	}{
		{"while accepting", func(s *forwarder.Server) { s.NewID = func() string { panic("no id") } }, "no id", "accept"},
		{"while dialling", func(s *forwarder.Server) {
			s.Dial = func(context.Context, forwarder.Request) (net.Conn, error) { panic("no dial") }
		}, "no dial", "dialers"},
		{"in a hook", func(s *forwarder.Server) {
			s.Hooks.Dialled = func(string, time.Duration, error) { panic("no hook") }
		}, "no hook", "dialers"},
		{"while copying down", remote(func(c net.Conn) net.Conn { return panicsWhenRead{c} }), "while reading", "copyDown"},
		{"while copying up", remote(func(c net.Conn) net.Conn { return panicsWhenWritten{c} }), "while writing", "copyUp"},
		{"when a timer fires", func(s *forwarder.Server) {
			s.AppClosed = func(netip.AddrPort, netip.AddrPort) (bool, error) { panic("no answer") }
		}, "no answer", "tick"},
	} {
		t.Run(test.name, func(t *testing.T) {
			type panicked struct{ value, stack string }
			told := make(chan panicked, 1)
			ln := memnet.Listen()
			server := forwarder.Server{NewID: func() string { return "some-id" }}
			remote(func(c net.Conn) net.Conn { return c })(&server)
			test.adjust(&server)
			server.Guard = func(f func()) func() {
				return func() {
					defer func() {
						if v := recover(); v != nil {
							told <- panicked{v.(string), string(debug.Stack())}
							runtime.Goexit() // where a process would end; what it leaves is left to the test's
						}
					}()
					f()
				}
			}
			go func() {
				_ = server.Serve(t.Context(), forwarder.Listener{Listener: ln, Target: "sql01.corp.example:1433"})
			}()
			app, err := ln.Dial()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = app.Write([]byte("question")) // which not every case takes
				_ = app.CloseWrite()
			}()
			got := <-told
			if got.value != test.want || !strings.Contains(got.stack, test.in) {
				t.Errorf("got %q with\n%s\nwant %q in %s", got.value, got.stack, test.want, test.in)
			}
		})
	}
}

package relayclient_test

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/memnet"
)

// unwritable is a connection whose writes panic.
type unwritable struct{ *memnet.Conn }

func (unwritable) Write([]byte) (int, error) { panic("while writing") }

// TestAPanicIsHandedOn provokes one on goroutines that nobody but the connection
// waits for.
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
			type panicked struct{ value, stack string }
			told := make(chan panicked, 1)
			near, far := memnet.Pipe()
			conn := relayclient.Guarded(unwritable{near}, test.keepAlive, func(f func()) func() {
				return func() {
					defer func() {
						if v := recover(); v != nil {
							told <- panicked{v.(string), string(debug.Stack())}
							runtime.Goexit() // where a process would end; what it leaves is left to the test's
						}
					}()
					f()
				}
			})
			go func() { _, _ = conn.Read(make([]byte, 1)) }()
			_, _ = far.Write(test.arrives)
			if got := <-told; got.value != "while writing" || !strings.Contains(got.stack, test.in) {
				t.Errorf("got %q with\n%s\nwant it in %s", got.value, got.stack, test.in)
			}
		})
	}
}

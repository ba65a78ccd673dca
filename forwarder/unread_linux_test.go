package forwarder_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hyco-sidecar/forwarder"
)

// patient is a remote half that has answered and ended, and reads on late.
type patient struct {
	closedFully
	late <-chan struct{}
	got  *atomic.Int64
}

func (p patient) Write(b []byte) (int, error) {
	<-p.late
	p.got.Add(int64(len(b)))
	return len(b), nil
}

func (patient) CloseWrite() error { return nil }
func (patient) HalfClosed() bool  { return true }

// TestUploadSurvivesAnAnswerThatIsLeftUnread holds on to what the kernel does: with both
// ends of stream on their way, closing with bytes unread is a reset, whichever came
// before.
func TestUploadSurvivesAnAnswerThatIsLeftUnread(t *testing.T) {
	t.Parallel()
	const upload = 60_000
	var got atomic.Int64
	late := make(chan struct{})
	app, finish := overTCP(t, patient{closedFully{answer: io.LimitReader(zeros{}, 200_000)}, late, &got})
	if err := app.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	write(t, app, strings.Repeat("u", upload))
	app.CloseWrite()
	for !bothEnded(t, app.RemoteAddr(), app.LocalAddr()) {
		runtime.Gosched()
	}
	app.Close()
	time.AfterFunc(12*time.Second, func() { close(late) }) // two checks of the stall
	s := finish()
	if n := got.Load(); n != upload {
		t.Errorf("the remote side got %d bytes, want %d", n, upload)
	}
	wantCause(t, s, forwarder.Closed)
}

// bothEnded reports whether local's socket has received an end of stream and has sent
// one that is not confirmed: whether its state is LAST_ACK or CLOSING.
func bothEnded(t *testing.T, local, peer net.Addr) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	port := func(a net.Addr) int { return a.(*net.TCPAddr).Port }
	connection := fmt.Sprintf(" 0100007F:%04X 0100007F:%04X ", port(local), port(peer))
	return strings.Contains(string(table), connection+"09") || strings.Contains(string(table), connection+"0B")
}

package forwarder_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
	"hyco-sidecar/test/memnet"
)

func TestResetIsNoticedWhileTheUploadStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		go io.WriteString(app, strings.Repeat("u", 500_000)) // more than all buffers hold
		time.Sleep(time.Hour)                                // a stalled target is no reason to end
		app.SetLinger(0)
		app.Close()
		began := time.Now()
		s := b.finish(t)
		wantCause(t, s, forwarder.AppReset)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("noticed after %v, want 5s at most", took)
		}
		wantReset(t, "target", target)
	})
}

// TestNobodyWaitsWithBothDirectionsStalled: what looks after a stalled upload must
// not queue up behind a download that stalls as well.
func TestNobodyWaitsWithBothDirectionsStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		go io.WriteString(app, strings.Repeat("u", 500_000))
		go io.WriteString(target, strings.Repeat("d", 500_000))
		time.Sleep(time.Hour)
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("checkStall")) {
			t.Errorf("a goroutine hangs:\n%s", stacks)
		}
		app.SetLinger(0)
		app.Close()
		wantCause(t, b.finish(t), forwarder.AppReset)
		wantReset(t, "target", target)
	})
}

// dying is an app's connection that has timed out, of which the kernel tells the
// first to ask alone: the others find an end of stream.
type dying struct{ *memnet.Conn }

func (dying) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, syscall.ETIMEDOUT
	}
	return 0, syscall.EPIPE
}

// dyingListener accepts connections that are dying.
type dyingListener struct{ *memnet.Listener }

func (l dyingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return dying{conn.(*memnet.Conn)}, nil
}

func TestConnectionThatTimedOutHasNotEnded(t *testing.T) {
	for name, dialling := range map[string]bool{"in the dial": true, "while the upload stalls": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, func(b *testbed) {
					b.accept = dyingListener{b.ln}
					if dialling {
						b.server.Dial = waitForContext
					}
				})
				app, err := b.ln.Dial()
				if err != nil {
					t.Fatal(err)
				}
				write(t, app, strings.Repeat("u", 120_000)) // more than anybody takes
				app.CloseWrite()
				want := forwarder.AppReset
				if dialling {
					want = forwarder.AppGaveUp
				}
				summary := b.finish(t)
				wantCause(t, summary, want)
				if summary.Took > 10*time.Second {
					t.Errorf("noticed after %v, want 10s at most", summary.Took)
				}
				if !dialling {
					wantReset(t, "target", <-b.targets)
				}
			})
		})
	}
}

// slowly is a remote half that has ended, reads on, and takes its time.
type slowly struct {
	closedFully
	takes <-chan time.Time
	got   chan<- string
}

func (s slowly) Write(p []byte) (int, error) {
	<-s.takes
	s.got <- string(p)
	return len(p), nil
}

func (slowly) CloseWrite() error { return nil }
func (slowly) HalfClosed() bool  { return true }

// TestStalledUploadAfterTheRemoteEndedGoesOn runs on real sockets: after an end of
// stream the kernel answers an empty write with a broken pipe.
func TestStalledUploadAfterTheRemoteEndedGoesOn(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	app, finish := overTCP(t, slowly{closedFully{answer: strings.NewReader("")}, time.After(7 * time.Second), got})
	wantAll(t, "app", app, "")
	write(t, app, "upload")
	app.Close()
	if data := <-got; data != "upload" {
		t.Errorf("the remote side got %q", data)
	}
	wantCause(t, finish(), forwarder.Closed)
}

package fakerelay_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
)

func TestFramesKeepTypeBoundariesAndFragments(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	big := make([]byte, 300<<10)
	rand.Read(big)
	frames := []struct {
		op      ws.OpCode
		fin     bool
		payload []byte
	}{
		{ws.OpBinary, true, []byte("one")},
		{ws.OpText, true, []byte("two")},
		{ws.OpBinary, true, nil},
		{ws.OpBinary, false, []byte("a")},
		{ws.OpContinuation, false, bytes.Repeat([]byte("b"), 126)},
		{ws.OpContinuation, true, bytes.Repeat([]byte("c"), 65536)},
		{ws.OpBinary, true, big},
	}
	for _, way := range []struct{ from, to string }{{"sender", "listener"}, {"listener", "sender"}} {
		from, to := sender, listener
		if way.from == "listener" {
			from, to = listener, sender
		}
		for _, f := range frames {
			if err := from.WriteFrame(f.op, f.fin, f.payload); err != nil {
				t.Fatal(err)
			}
			wantFrame(t, to, f.op, f.fin, string(f.payload))
		}
	}
}

func TestDataFlowsAfterTheSendersClose(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	sender.WriteFrame(ws.OpBinary, true, []byte("question"))
	sender.WriteClose(1000, "Shutdown")
	wantFrame(t, listener, ws.OpBinary, true, "question")
	wantClose(t, listener, 1000, "Shutdown")
	for range 3 {
		listener.WriteFrame(ws.OpBinary, true, []byte("answer"))
		wantFrame(t, sender, ws.OpBinary, true, "answer")
	}
	listener.WriteClose(4001, "done")
	wantClose(t, sender, 4001, "done")
	wantGone(t, sender)
	wantGone(t, listener)
	eventually(t, "closed", func() bool { return b.Connections() == 0 })
}

func TestDataFlowsAfterTheListenersClose(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	listener.WriteClose(1000, "Shutdown")
	wantClose(t, sender, 1000, "Shutdown")
	sender.WriteFrame(ws.OpBinary, true, []byte("more"))
	wantFrame(t, listener, ws.OpBinary, true, "more")
	sender.WriteFrame(ws.OpClose, true, nil)
	wantFrame(t, listener, ws.OpClose, true, "")
	wantGone(t, sender)
	wantGone(t, listener)
}

func TestLossOfOneSideDropsTheOtherWithoutClose(t *testing.T) {
	t.Run("listener", func(t *testing.T) {
		b := newBench(t, &fakerelay.Server{})
		sender, listener := b.pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("last words"))
		listener.Raw.Close()
		wantFrame(t, sender, ws.OpBinary, true, "last words")
		wantGone(t, sender)
	})
	t.Run("sender", func(t *testing.T) {
		b := newBench(t, &fakerelay.Server{})
		sender, listener := b.pair()
		sender.WriteFrame(ws.OpBinary, true, []byte("last words"))
		sender.Raw.Close()
		wantFrame(t, listener, ws.OpBinary, true, "last words")
		wantGone(t, listener)
	})
	t.Run("sender after its Close", func(t *testing.T) {
		b := newBench(t, &fakerelay.Server{})
		sender, listener := b.pair()
		sender.WriteClose(1000, "Shutdown")
		wantClose(t, listener, 1000, "Shutdown")
		sender.Raw.Close()
		wantGone(t, listener)
	})
}

func TestEndOfServeResetsEverything(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	b.stop()
	wantGone(t, sender)
	wantGone(t, listener)
}

func TestPingsAreAnsweredHereAndNotForwarded(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	sender.WriteFrame(ws.OpPing, true, []byte("42"))
	wantFrame(t, sender, ws.OpPong, true, "42")
	listener.WriteFrame(ws.OpPing, true, []byte("43"))
	wantFrame(t, listener, ws.OpPong, true, "43")
	sender.WriteFrame(ws.OpBinary, true, []byte("next"))
	wantFrame(t, listener, ws.OpBinary, true, "next")
}

func TestUnmaskedFrameIsAProtocolError(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	ws.WriteFrame(sender.TLS, ws.NewBinaryFrame([]byte("bare")))
	wantTracked(t, sender, 1002, "frames from client to server must be masked", "8a2f")
	wantGone(t, listener)
}

func TestFullCloseOnFirstClose(t *testing.T) {
	b := newBench(t, &fakerelay.Server{FullCloseOnFirstClose: true})
	sender, listener := b.pair()
	sender.WriteClose(1000, "Shutdown")
	wantClose(t, listener, 1000, "Shutdown")
	wantClose(t, sender, 1000, "Shutdown")
	wantGone(t, sender)
	wantGone(t, listener)
}

func TestRewrittenCloseCodes(t *testing.T) {
	b := newBench(t, &fakerelay.Server{RewriteCloseCodes: true})
	sender, listener := b.pair()
	sender.WriteClose(1000, "Shutdown")
	wantTracked(t, listener, 1001, "The sender closed the connection", "8a2f")
	listener.WriteClose(4001, "mine")
	wantTracked(t, sender, 1000, "The listener closed the connection", "8a2f")
}

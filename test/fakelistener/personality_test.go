package fakelistener_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

func TestHCMSendsMessagesOf16KiB(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{}, &fakerelay.Server{})
	c, target := s.joined()
	go target.Write(make([]byte, 1<<20))
	largest := int64(0)
	for n := int64(0); n < 1<<20; {
		h, _, err := c.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h.OpCode != ws.OpBinary || !h.Fin {
			t.Fatalf("got frame %+v", h)
		}
		n += h.Length
		largest = max(largest, h.Length)
	}
	if largest != 16<<10 {
		t.Errorf("the largest message has %d bytes", largest)
	}
}

func TestHCMKeepsTheSendersCloseToItself(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{}, &fakerelay.Server{})
	c, target := s.joined()
	send(t, c, "question")
	c.WriteClose(1000, "Shutdown")
	wantBytes(t, target, "question")
	wantNothing(t, target)
	target.Write([]byte("answer"))
	wantStream(t, c, "answer")
	target.Close()
	wantClose(t, c, 1000, "CloseAsync")
}

func TestHCMKeepsTheTargetsEndToItself(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{}, &fakerelay.Server{})
	c, target := s.joined()
	target.Write([]byte("bye"))
	target.CloseWrite()
	wantStream(t, c, "bye")
	// Nothing comes, but the way to the target is open.
	send(t, c, "more")
	wantBytes(t, target, "more")
	c.WriteFrame(ws.OpPing, true, []byte("?"))
	if h, _, err := c.ReadFrame(); err != nil || h.OpCode != ws.OpPong {
		t.Fatalf("got %+v %v, want the Pong and no Close", h, err)
	}
	c.WriteClose(1000, "Shutdown")
	wantClose(t, c, 1000, "CloseAsync")
	wantEOF(t, target)
}

func TestHCMThatCannotReachItsTargetClosesWithoutData(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{Dial: refuseDial, CloseWait: 50 * time.Millisecond}, &fakerelay.Server{})
	c, _ := s.connect()
	wantClose(t, c, 1000, "CloseAsync")
	// Then it waits for ours, and no longer than that.
	wantGone(t, c)
}

func TestHCMTakesALostSenderForItsEnd(t *testing.T) {
	s := newSite(t, &fakelistener.Listener{}, &fakerelay.Server{})
	c, target := s.joined()
	c.Raw.Close()
	wantNothing(t, target)
	target.Close()
	eventually(t, "closed", func() bool { return s.relay.Connections() == 0 })
}

func TestHalfClosePassesEndsOn(t *testing.T) {
	t.Run("sender first", func(t *testing.T) {
		s := newSite(t, &fakelistener.Listener{Personality: fakelistener.HalfClose}, &fakerelay.Server{})
		c, target := s.joined()
		send(t, c, "question")
		c.WriteClose(1000, "Shutdown")
		wantBytes(t, target, "question")
		wantEOF(t, target)
		target.Write([]byte("answer"))
		wantStream(t, c, "answer")
		target.Close()
		wantClose(t, c, 1000, "Shutdown")
		wantGone(t, c)
	})
	t.Run("target first", func(t *testing.T) {
		s := newSite(t, &fakelistener.Listener{Personality: fakelistener.HalfClose}, &fakerelay.Server{})
		c, target := s.joined()
		target.CloseWrite()
		wantClose(t, c, 1000, "Shutdown")
		send(t, c, "late")
		wantBytes(t, target, "late")
		c.WriteClose(1000, "Shutdown")
		wantEOF(t, target)
		wantGone(t, c)
	})
}

func TestHalfClosePassesLossesOn(t *testing.T) {
	t.Run("target resets", func(t *testing.T) {
		s := newSite(t, &fakelistener.Listener{Personality: fakelistener.HalfClose}, &fakerelay.Server{})
		c, target := s.joined()
		// A reset before the first byte may still fail the dial instead.
		send(t, c, "x")
		wantBytes(t, target, "x")
		target.SetLinger(0)
		target.Close()
		wantGone(t, c)
	})
	t.Run("sender is lost", func(t *testing.T) {
		s := newSite(t, &fakelistener.Listener{Personality: fakelistener.HalfClose}, &fakerelay.Server{})
		c, target := s.joined()
		c.Raw.Close()
		wantReset(t, target)
	})
}

func TestAzbridgeAnswersThePreamble(t *testing.T) {
	start := func(t *testing.T, l *fakelistener.Listener) *site {
		l.Personality = fakelistener.Azbridge
		return newSite(t, l, &fakerelay.Server{})
	}
	t.Run("good", func(t *testing.T) {
		s := start(t, &fakelistener.Listener{PortNames: []string{"8080"}})
		c, _ := s.connect()
		c.WriteFrame(ws.OpBinary, true, []byte{1, 0, 0, 4})
		send(t, c, "8080")
		wantStream(t, c, "\x01\x00\x00")
		target := <-s.target
		defer target.Close()
		send(t, c, "question")
		wantBytes(t, target, "question")
		target.CloseWrite()
		wantClose(t, c, 1000, "Shutdown")
	})
	t.Run("unknown version", func(t *testing.T) {
		c, _ := start(t, &fakelistener.Listener{}).connect()
		send(t, c, "GET / HTTP/1.0\r\n\r\n")
		wantStream(t, c, "\x00\x00\x00")
		wantClose(t, c, 1000, "Shutdown")
	})
	t.Run("datagrams", func(t *testing.T) {
		c, _ := start(t, &fakelistener.Listener{}).connect()
		send(t, c, "\x01\x00\x01\x018")
		wantStream(t, c, "\x00\x00\xff")
		wantClose(t, c, 1000, "Shutdown")
	})
	t.Run("unknown port name", func(t *testing.T) {
		c, _ := start(t, &fakelistener.Listener{PortNames: []string{"8080"}}).connect()
		send(t, c, "\x01\x00\x00\x04http")
		wantClose(t, c, 1000, "Shutdown")
	})
	t.Run("target refuses", func(t *testing.T) {
		c, _ := start(t, &fakelistener.Listener{Dial: refuseDial}).connect()
		send(t, c, "\x01\x00\x00\x04http")
		wantStream(t, c, "\x01\x00\x00")
		wantClose(t, c, 1000, "CloseAsync")
	})
}

func TestNodeLikeEndsBothDirections(t *testing.T) {
	t.Run("sender closes", func(t *testing.T) {
		s := newSite(t, &fakelistener.Listener{Personality: fakelistener.NodeLike}, &fakerelay.Server{})
		c, target := s.joined()
		send(t, c, "question")
		wantBytes(t, target, "question")
		c.WriteClose(4002, "done")
		wantClose(t, c, 4002, "done")
		wantEOF(t, target)
		wantGone(t, c)
	})
	t.Run("target closes", func(t *testing.T) {
		s := newSite(t, &fakelistener.Listener{Personality: fakelistener.NodeLike}, &fakerelay.Server{})
		c, target := s.joined()
		target.Write([]byte("bye"))
		target.Close()
		wantStream(t, c, "bye")
		wantClose(t, c, 1000, "")
		c.WriteClose(1000, "")
		wantGone(t, c)
	})
}

func TestLargeTransfersArriveIntact(t *testing.T) {
	for _, p := range []fakelistener.Personality{fakelistener.HCM, fakelistener.HalfClose, fakelistener.NodeLike} {
		t.Run(string(p), func(t *testing.T) {
			s := newSite(t, &fakelistener.Listener{Personality: p}, &fakerelay.Server{})
			c, target := s.joined()
			data := bytes.Repeat([]byte("0123456789abcdef!"), 500_000)
			go func() {
				for b := data; len(b) > 0; {
					n := min(len(b), 60_000)
					c.WriteFrame(ws.OpBinary, true, b[:n])
					b = b[n:]
				}
			}()
			wantBytes(t, target, string(data))
			go target.Write(data)
			wantStream(t, c, string(data))
		})
	}
}

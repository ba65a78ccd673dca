package fakerelay_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
)

func faulty(t *testing.T, f fakerelay.Fault) *bench {
	return newBench(t, &fakerelay.Server{Fault: func(fakerelay.Connect) fakerelay.Fault { return f }})
}

func TestFaultAnswersInsteadOfTheRelay(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Fault: func(c fakerelay.Connect) fakerelay.Fault {
		switch c.Attempt {
		case 1:
			return fakerelay.Fault{Status: 503, Phrase: "Server busy"}
		case 2:
			return fakerelay.Fault{Status: 429, Phrase: "Slow down", Bare: true, RetryAfter: 7 * time.Second, Header: http.Header{"X-Fault": {"yes"}}}
		}
		return fakerelay.Fault{}
	}})
	if got, want := b.status(b.token(sendRule), connectTarget), "503 Server busy. TrackingId:8a2f_G0, SystemTracker:"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q…", got, want)
	}
	_, resp := b.request(b.token(sendRule), connectTarget)
	if resp.Status != "429 Slow down" || resp.Header.Get("Retry-After") != "7" || resp.Header.Get("X-Fault") != "yes" {
		t.Errorf("got %q %v", resp.Status, resp.Header)
	}
	if got := b.status(b.token(sendRule), connectTarget); !strings.HasPrefix(got, "404 There are no listeners") {
		t.Errorf("got %s", got)
	}
}

func TestFaultNeverAnswers(t *testing.T) {
	b := faulty(t, fakerelay.Fault{NeverAnswer: true})
	c := b.connect()
	c.TLS.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.TLS.Read(make([]byte, 1)); n != 0 || errors.Is(err, io.EOF) {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

func TestFaultAnswersGarbage(t *testing.T) {
	b := faulty(t, fakerelay.Fault{Garbage: []byte("220 mail.corp.example ESMTP\r\n")})
	got, err := io.ReadAll(b.connect().TLS)
	if err != nil || string(got) != "220 mail.corp.example ESMTP\r\n" {
		t.Errorf("got %q %v", got, err)
	}
}

func TestFaultDelaysTheAnswer(t *testing.T) {
	b := faulty(t, fakerelay.Fault{Delay: 50 * time.Millisecond})
	start := time.Now()
	b.status(b.token(sendRule), connectTarget)
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
}

func TestFaultsInTheStreamTowardsTheSender(t *testing.T) {
	t.Run("drop", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{DropAfter: 7}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("hello"))
		listener.WriteFrame(ws.OpBinary, true, []byte("world"))
		wantFrame(t, sender, ws.OpBinary, true, "hello")
		wantFrame(t, sender, ws.OpBinary, true, "wo")
		wantGone(t, sender)
		wantGone(t, listener)
	})
	t.Run("drop at once", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{DropAfter: -1}).pair()
		wantGone(t, sender)
		wantGone(t, listener)
	})
	t.Run("reset", func(t *testing.T) {
		sender, _ := faulty(t, fakerelay.Fault{DropAfter: -1, Reset: true}).pair()
		if _, _, err := sender.ReadFrame(); err == nil || !strings.Contains(err.Error(), "reset by peer") {
			t.Errorf("got %v, want a reset", err)
		}
	})
	t.Run("truncate", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{TruncateAfter: 7}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("hello"))
		listener.WriteFrame(ws.OpBinary, true, []byte("world"))
		wantFrame(t, sender, ws.OpBinary, true, "hello")
		h, got, err := sender.ReadFrame()
		if !errors.Is(err, io.ErrUnexpectedEOF) || h.Length != 5 || string(got) != "wo" {
			t.Errorf("got %+v %q %v", h, got, err)
		}
	})
	t.Run("truncate at the end of a frame", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{TruncateAfter: 5}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("hello"))
		if h, got, err := sender.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) || h.Length != 6 || string(got) != "hello" {
			t.Errorf("got %+v %q %v", h, got, err)
		}
	})
	t.Run("close", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{CloseAfter: 7, CloseCode: 1008, CloseReason: "token"}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("hello"))
		listener.WriteFrame(ws.OpBinary, true, []byte("world"))
		listener.WriteFrame(ws.OpBinary, true, []byte("never seen"))
		wantFrame(t, sender, ws.OpBinary, true, "hello")
		wantFrame(t, sender, ws.OpBinary, true, "wo")
		wantClose(t, sender, 1008, "token")
		sender.WriteClose(1000, "")
		wantClose(t, listener, 1000, "")
		wantGone(t, sender)
		wantGone(t, listener)
	})
	t.Run("close at once", func(t *testing.T) {
		sender, _ := faulty(t, fakerelay.Fault{CloseAfter: -1}).pair()
		wantClose(t, sender, 1011, "")
	})
	t.Run("fragment", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{Fragment: 2}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("hello"))
		wantFrame(t, sender, ws.OpBinary, false, "he")
		wantFrame(t, sender, ws.OpContinuation, false, "ll")
		wantFrame(t, sender, ws.OpContinuation, true, "o")
	})
	t.Run("merge", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{Merge: true}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("hello"))
		listener.WriteFrame(ws.OpBinary, true, []byte("world"))
		listener.WriteClose(1000, "Shutdown")
		wantFrame(t, sender, ws.OpBinary, false, "hello")
		wantFrame(t, sender, ws.OpContinuation, false, "world")
		wantFrame(t, sender, ws.OpContinuation, true, "")
		wantClose(t, sender, 1000, "Shutdown")
	})
	t.Run("empty messages", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{EmptyMessages: true}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("hello"))
		wantFrame(t, sender, ws.OpBinary, true, "")
		wantFrame(t, sender, ws.OpBinary, true, "hello")
	})
	t.Run("text messages", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{TextMessages: true}).pair()
		listener.WriteFrame(ws.OpBinary, true, []byte("\xff\x00"))
		wantFrame(t, sender, ws.OpText, true, "\xff\x00")
	})
	t.Run("the other direction is spared", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{Fragment: 2, DropAfter: 2}).pair()
		sender.WriteFrame(ws.OpBinary, true, bytes.Repeat([]byte("x"), 1000))
		wantFrame(t, listener, ws.OpBinary, true, strings.Repeat("x", 1000))
	})
}

func TestFaultsOfPings(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		sender, listener := faulty(t, fakerelay.Fault{NoPong: true}).pair()
		sender.WriteFrame(ws.OpPing, true, []byte("?"))
		sender.WriteFrame(ws.OpBinary, true, []byte("data"))
		wantFrame(t, listener, ws.OpBinary, true, "data")
		listener.WriteFrame(ws.OpBinary, true, []byte("back"))
		wantFrame(t, sender, ws.OpBinary, true, "back")
	})
	t.Run("late", func(t *testing.T) {
		sender, _ := faulty(t, fakerelay.Fault{DelayPong: 50 * time.Millisecond}).pair()
		start := time.Now()
		sender.WriteFrame(ws.OpPing, true, []byte("?"))
		wantFrame(t, sender, ws.OpPong, true, "?")
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("the pong came after %v", took)
		}
	})
	t.Run("from the relay", func(t *testing.T) {
		sender, _ := faulty(t, fakerelay.Fault{PingEvery: 10 * time.Millisecond}).pair()
		wantFrame(t, sender, ws.OpPing, true, "relay")
		wantFrame(t, sender, ws.OpPing, true, "relay")
	})
}

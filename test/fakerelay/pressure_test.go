package fakerelay_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
)

// fill sends data until no more is taken, and returns how much was.
func fill(t *testing.T, write func([]byte) error, setDeadline func(time.Time) error) int {
	t.Helper()
	message := make([]byte, 64<<10)
	setDeadline(time.Now().Add(500 * time.Millisecond))
	for n := 0; ; n += len(message) {
		if n > 64<<20 {
			t.Fatal("64 MiB were taken though nobody reads")
		}
		if write(message) != nil {
			return n
		}
	}
}

func TestBackPressureIsBounded(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Buffer: 256 << 10})
	sender, listener := b.pair()
	sender.Raw.SetWriteBuffer(64 << 10)
	listener.Raw.SetReadBuffer(64 << 10)
	fill(t, func(p []byte) error { return sender.WriteFrame(ws.OpBinary, true, p) }, sender.TLS.SetWriteDeadline)
	// What the relay holds is what it has taken and the listener's kernel has
	// not: the relay's own buffer and its two sockets' (a few MiB each at most).
	up, _ := b.Bytes()
	if up > 16<<20 {
		t.Errorf("the relay took %d bytes", up)
	}
}

func TestOneDirectionGoesOnWhileTheOtherIsStuck(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Buffer: 128 << 10})
	sender, listener := b.pair()
	// The sender does not read, until the listener cannot write any more.
	fill(t, func(p []byte) error { return listener.WriteFrame(ws.OpBinary, true, p) }, listener.TLS.SetWriteDeadline)
	// The opposite direction still runs, and pings with pongs that cannot be
	// delivered do not stop it.
	for i := range 1000 {
		if err := sender.WriteFrame(ws.OpPing, true, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	payload := bytes.Repeat([]byte("x"), 10<<10)
	sender.WriteFrame(ws.OpBinary, true, payload)
	wantFrame(t, listener, ws.OpBinary, true, string(payload))
}

func TestPongGoesOutWhileTheOtherDirectionIsStuck(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Buffer: 8 << 20})
	sender, listener := b.pair()
	sent := 0
	// Less than the relay's buffer, so that the ping behind it is read.
	for range 64 {
		if err := sender.WriteFrame(ws.OpBinary, true, make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
		sent += 64 << 10
	}
	sender.WriteFrame(ws.OpPing, true, []byte("alive?"))
	wantFrame(t, sender, ws.OpPong, true, "alive?")
	got, _, err := listener.ReadStream(sent)
	if err != nil || len(got) != sent {
		t.Errorf("got %d bytes of %d, %v", len(got), sent, err)
	}
}

package fakerelay_test

import (
	"io"
	"testing"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
)

// BenchmarkUpload moves 64 KiB messages from a sender to a listener, both of
// which cost next to nothing themselves but for TLS.
func BenchmarkUpload(b *testing.B) {
	rig := newBench(b, &fakerelay.Server{})
	sender, listener := rig.pair()
	frame, err := ws.CompileFrame(ws.MaskFrame(ws.NewBinaryFrame(make([]byte, 64<<10))))
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	const relayed = 10 + 64<<10 // without the mask
	go func() {
		_, err := io.CopyN(io.Discard, listener.TLS, int64(b.N)*relayed)
		done <- err
	}()
	b.SetBytes(64 << 10)
	b.ResetTimer()
	for range b.N {
		if _, err := sender.TLS.Write(frame); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkConnect opens and drops connections.
func BenchmarkConnect(b *testing.B) {
	rig := newBench(b, &fakerelay.Server{})
	ctl := rig.control()
	for b.Loop() {
		sender := rig.connect()
		listener, _ := rig.request(nil, readAccept(b, ctl).target())
		if _, err := sender.ReadResponse(); err != nil {
			b.Fatal(err)
		}
		sender.TLS.Close()
		listener.TLS.Close()
	}
}

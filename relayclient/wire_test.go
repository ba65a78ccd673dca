package relayclient_test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/relayclient"
)

// wire is a connection whose inbound bytes are given and whose outbound bytes
// are kept.
type wire struct {
	net.Conn // panics where a test should not come
	in       io.Reader
	stays    bool          // the connection outlives what is in in
	gone     chan struct{} // closed by Close
	mu       sync.Mutex
	out      bytes.Buffer
	closed   bool
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.in.Read(p)
	if err == io.EOF && w.stays {
		if n > 0 {
			return n, nil
		}
		<-w.gone
		return 0, net.ErrClosed
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, net.ErrClosed
	}
	return w.out.Write(p)
}

func (w *wire) SetReadDeadline(time.Time) error { return nil }

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		close(w.gone)
	}
	w.closed = true
	return nil
}

// sent decodes the frames that were written.
func (w *wire) sent(t testing.TB) []ws.Frame {
	t.Helper()
	w.mu.Lock()
	r := bytes.NewReader(slices.Clone(w.out.Bytes()))
	w.mu.Unlock()
	var frames []ws.Frame
	for r.Len() > 0 {
		f, err := readFrame(r)
		if err != nil {
			t.Fatalf("what was sent is not frames: %v", err)
		}
		if !f.Header.Masked {
			t.Errorf("frame %v is not masked", f.Header)
		}
		frames = append(frames, ws.UnmaskFrame(f))
	}
	return frames
}

func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

func open(t testing.TB, in io.Reader) (*relayclient.Conn, *wire) {
	t.Helper()
	w := &wire{in: in, gone: make(chan struct{})}
	conn := relayclient.Upgraded(w, time.Hour)
	t.Cleanup(func() { conn.Close() })
	return conn, w
}

func frame(op ws.OpCode, fin bool, payload string) []byte {
	return ws.MustCompileFrame(ws.NewFrame(op, fin, []byte(payload)))
}

func closeFrame(code uint16, reason string) []byte {
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

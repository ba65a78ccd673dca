package relayclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/gobwas/ws"

	"hyco-sidecar/relayclient"
)

// mixed is everything a relay may send, and the bytes it carries. Header sizes
// of 2, 4 and 10 bytes occur.
func mixed() (stream []byte, payload string) {
	long, huge := strings.Repeat("l", 200), strings.Repeat("h", 70_000)
	stream = slices.Concat(
		frame(ws.OpBinary, true, "first"),
		frame(ws.OpPing, true, "are you there"),
		frame(ws.OpText, true, "text"),
		frame(ws.OpBinary, true, ""),
		frame(ws.OpBinary, false, "frag"),
		frame(ws.OpPing, true, ""),
		frame(ws.OpContinuation, false, ""),
		frame(ws.OpContinuation, true, "ments"),
		frame(ws.OpPong, true, "unasked"),
		frame(ws.OpBinary, true, long),
		frame(ws.OpBinary, true, huge),
		frame(ws.OpText, true, ""),
	)
	return stream, "first" + "text" + "fragments" + long + huge
}

// checkMixed reads the mixed stream with its Close and then uses the direction
// that is still open.
func checkMixed(t *testing.T, in io.Reader, want string) {
	t.Helper()
	conn, w := open(t, in)
	w.stays = true
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != want {
		t.Fatalf("read: got %d bytes and %v, want %d and the end of the stream", len(got), err, len(want))
	}
	if !conn.HalfClosed() {
		t.Error("the far side's half-close was not noticed")
	}
	if _, err := conn.Write([]byte("after the far side's Close")); err != nil {
		t.Errorf("write after the far side's Close: %v", err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Errorf("CloseWrite: %v", err)
	}
	w.Close() // the relay's part, once both Close frames have passed
	conn.Close()
	var data, closes []string
	for _, f := range w.sent(t) {
		switch f.Header.OpCode {
		case ws.OpBinary:
			data = append(data, string(f.Payload))
		case ws.OpClose:
			closes = append(closes, fmt.Sprintf("%x", f.Payload))
		case ws.OpPong:
		default:
			t.Errorf("sent %v", f.Header)
		}
	}
	if want := []string{"after the far side's Close"}; !slices.Equal(data, want) {
		t.Errorf("sent data: got %q, want %q", data, want)
	}
	if want := []string{fmt.Sprintf("%x", "\x03\xe8Shutdown")}; !slices.Equal(closes, want) {
		t.Errorf("sent Close frames: got %q, want %q", closes, want)
	}
}

func TestStreamIsTheSameWhereverItIsCut(t *testing.T) {
	stream, want := mixed()
	stream = append(stream, closeFrame(1000, "Shutdown")...)
	huge := bytes.Index(stream, []byte("hh"))
	for cut := range stream {
		if cut > huge+100 && cut < len(stream)-100 {
			continue // inside 70,000 equal bytes
		}
		checkMixed(t, io.MultiReader(bytes.NewReader(stream[:cut]), bytes.NewReader(stream[cut:])), want)
	}
}

func TestStreamArrivesByteByByte(t *testing.T) {
	stream, want := mixed()
	stream = append(stream, closeFrame(1000, "Shutdown")...)
	checkMixed(t, iotest.OneByteReader(bytes.NewReader(stream)), want)
	checkMixed(t, iotest.DataErrReader(bytes.NewReader(stream)), want)
}

// TestReadKeepsNothingThatWasAnnounced, on a connection that knows no waiting.
func TestReadKeepsNothingThatWasAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		far.Write([]byte{0x82, 2, 'a'}) // and the frame's other byte not yet
		read := make(chan string, 1)
		go func() {
			conn.WaitReadable()
			buf := make([]byte, 10)
			n, _ := conn.Read(buf)
			read <- string(buf[:n])
		}()
		synctest.Wait()
		select {
		case got := <-read:
			if got != "a" {
				t.Errorf("got %q", got)
			}
		default:
			t.Error("the byte that has arrived is kept back")
		}
		far.Close()
		conn.Close()
	})
}

// isEOF reports whether a read ended as [io.Reader] has it.
func isEOF(err error) bool {
	return err == io.EOF //nolint:errorlint // callers of an io.Reader compare like this
}

func TestHowReadingEnds(t *testing.T) {
	data := frame(ws.OpBinary, true, "data")
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	code := func(want uint16) func(error) bool {
		return func(err error) bool {
			e, ok := errors.AsType[*relayclient.CloseError](err)
			return ok && e.Code == want
		}
	}
	for _, test := range []struct {
		name   string
		stream []byte
		want   func(error) bool
	}{
		{"Close 1000", closeFrame(1000, "CloseAsync"), isEOF},
		{"Close 1001", closeFrame(1001, ""), isEOF},
		{"Close without a code", frame(ws.OpClose, true, ""), isEOF},
		{"Close 1008", closeFrame(1008, "token expired"), code(1008)},
		{"Close 1011", closeFrame(1011, ""), code(1011)},
		{"Close 1002", closeFrame(1002, ""), code(1002)},
		{"Close 4000", closeFrame(4000, ""), code(4000)},
		{"Close 1006, which is never sent", closeFrame(1006, ""), is(relayclient.ErrProtocol)},
		{"Close 1005, which is never sent", closeFrame(1005, ""), is(relayclient.ErrProtocol)},
		{"Close 999", closeFrame(999, ""), is(relayclient.ErrProtocol)},
		{"Close with half a code", frame(ws.OpClose, true, "x"), is(relayclient.ErrProtocol)},
		{"Close that is not final", frame(ws.OpClose, false, "\x03\xe8"), is(relayclient.ErrProtocol)},
		{"Close with a reserved bit", []byte{0xc8, 2, 3, 0xe8}, is(relayclient.ErrProtocol)},
		{"Close that is too long", append([]byte{0x88, 126, 0, 126}, make([]byte, 126)...), is(relayclient.ErrProtocol)},
		{"Close cut off", closeFrame(1000, "Shutdown")[:5], is(relayclient.ErrDropped)},
		{"Close header cut off", closeFrame(1000, "")[:1], is(relayclient.ErrDropped)},
		{"nothing more", nil, is(relayclient.ErrDropped)},
		{"a frame cut off", data[:4], is(relayclient.ErrDropped)},
		{"a header cut off", data[:1], is(relayclient.ErrDropped)},
		{"a masked frame", []byte{0x82, 0x84, 1, 2, 3, 4, 5, 6, 7, 8}, is(relayclient.ErrProtocol)},
		{"an impossible length", []byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, is(relayclient.ErrProtocol)},
		{"a reserved opcode", []byte{0x83, 0}, is(relayclient.ErrProtocol)},
		{"a reserved bit", []byte{0xc2, 0}, is(relayclient.ErrProtocol)},
		{"a continuation of nothing", frame(ws.OpContinuation, true, "x"), is(relayclient.ErrProtocol)},
		{"a ping that is too long", append([]byte{0x89, 126, 0, 126}, make([]byte, 126)...), is(relayclient.ErrProtocol)},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, w := open(t, bytes.NewReader(slices.Concat(data, test.stream)))
			buf := make([]byte, 100)
			n, err := io.ReadFull(conn, buf[:4])
			if err != nil || string(buf[:n]) != "data" {
				t.Fatalf("before the end: got %q, %v", buf[:n], err)
			}
			for range 2 { // an end stays one
				var n int
				for n, err = 1, nil; n > 0 && err == nil; {
					n, err = conn.Read(buf)
				}
				if !test.want(err) {
					t.Errorf("got %v", err)
				}
			}
			conn.Close()
			for _, f := range w.sent(t) {
				if f.Header.OpCode == ws.OpClose {
					t.Errorf("a Close frame was sent: %q", f.Payload)
				}
			}
		})
	}
}

func TestOnlyShutdownIsAHalfClose(t *testing.T) {
	for reason, want := range map[string]bool{"Shutdown": true, "CloseAsync": false, "": false} {
		conn, _ := open(t, bytes.NewReader(closeFrame(1000, reason)))
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		if got := conn.HalfClosed(); got != want {
			t.Errorf("Close 1000 %q: got HalfClosed %v, want %v", reason, got, want)
		}
	}
}

func TestWritesAreWholeMessagesOfAtMost64KiB(t *testing.T) {
	for _, size := range []int{0, 1, 3, 125, 126, 511, 512, 513, 65535, 65536, 65537, 200_000} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * 7)
		}
		conn, w := open(t, bytes.NewReader(nil))
		n, err := conn.Write(data)
		if n != size || err != nil {
			t.Errorf("write of %d: got %d, %v", size, n, err)
		}
		var got []byte
		for _, f := range w.sent(t) {
			if f.Header.OpCode != ws.OpBinary || !f.Header.Fin || f.Header.Length == 0 || f.Header.Length > 64<<10 {
				t.Errorf("write of %d: sent %+v", size, f.Header)
			}
			got = append(got, f.Payload...)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("write of %d: other bytes were sent", size)
		}
	}
}

func TestNothingFollowsOurClose(t *testing.T) {
	pings := slices.Concat(frame(ws.OpPing, true, "1"), frame(ws.OpBinary, true, "late"), frame(ws.OpPing, true, "2"),
		frame(ws.OpBinary, true, " answer"), closeFrame(1000, "Shutdown"))
	conn, w := open(t, bytes.NewReader(pings))
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("too late")); err == nil {
		t.Error("a write after CloseWrite succeeded")
	}
	if err := conn.CloseWrite(); err != nil {
		t.Errorf("second CloseWrite: %v", err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "late answer" {
		t.Errorf("read after CloseWrite: got %q, %v; want %q", got, err, "late answer")
	}
	conn.Close()
	if sent := w.sent(t); len(sent) != 1 || sent[0].Header.OpCode != ws.OpClose {
		t.Errorf("sent %v, want one Close frame", sent)
	}
}

// FuzzStream reads arbitrary bytes, cut anywhere, and compares what comes out
// with what a plain decoder finds in them.
func FuzzStream(f *testing.F) {
	stream, _ := mixed()
	f.Add(append(stream[:300:300], closeFrame(1000, "Shutdown")...), byte(3))
	f.Add(slices.Concat(frame(ws.OpPing, true, "x"), closeFrame(1008, "expired")), byte(1))
	f.Add(slices.Concat(frame(ws.OpBinary, false, "a"), frame(ws.OpContinuation, true, "b"), frame(ws.OpClose, true, "")), byte(0))
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'x', 0x88, 2, 3, 0xe8}, byte(2))
	f.Fuzz(func(t *testing.T, stream []byte, chunk byte) {
		want, wantEOF := decode(stream)
		conn, w := open(t, &chunks{stream, int(chunk) + 1})
		got, err := io.ReadAll(conn)
		if (err == nil) != wantEOF {
			t.Fatalf("got the end %v, want a clean one: %v", err, wantEOF)
		}
		if wantEOF && !bytes.Equal(got, want) || !bytes.HasPrefix(want, got) {
			t.Fatalf("got %q, want %q", got, want)
		}
		conn.Close()
		for _, f := range w.sent(t) {
			if f.Header.OpCode != ws.OpPong {
				t.Fatalf("sent %v", f.Header)
			}
		}
	})
}

type chunks struct {
	rest []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(c.size, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

// decode is RFC 6455 §5 for a client, as plainly as it can be written. It
// returns the bytes carried and whether a Close ended them cleanly.
func decode(stream []byte) (data []byte, clean bool) {
	r := bytes.NewReader(stream)
	inMessage := false
	for {
		h, err := ws.ReadHeader(r)
		if err != nil || h.Rsv != 0 || h.Masked || h.Length < 0 {
			return data, false
		}
		control := h.OpCode.IsControl()
		if control && (!h.Fin || h.Length > 125) {
			return data, false
		}
		switch h.OpCode {
		case ws.OpContinuation:
			if !inMessage {
				return data, false
			}
		case ws.OpText, ws.OpBinary:
			if inMessage {
				return data, false
			}
		case ws.OpClose, ws.OpPing, ws.OpPong:
		default:
			return data, false
		}
		payload := make([]byte, min(h.Length, int64(r.Len())))
		io.ReadFull(r, payload)
		switch {
		case h.OpCode == ws.OpClose:
			if int64(len(payload)) < h.Length || h.Length == 1 {
				return data, false
			}
			if h.Length == 0 {
				return data, true
			}
			code := int(payload[0])<<8 | int(payload[1])
			return data, code == 1000 || code == 1001
		case !control:
			data = append(data, payload...)
			inMessage = !h.Fin
		}
		if int64(len(payload)) < h.Length {
			return data, false
		}
	}
}

func TestWritesFailOnceTheRelayIsGone(t *testing.T) {
	conn, _ := open(t, bytes.NewReader(closeFrame(1000, "Shutdown"))) // and then the end of the connection
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	conn.WaitDrained()
	if _, err := conn.Write([]byte("lost")); !errors.Is(err, relayclient.ErrDropped) {
		t.Errorf("write: got %v, want %v", err, relayclient.ErrDropped)
	}
	if err := conn.CloseWrite(); !errors.Is(err, relayclient.ErrDropped) {
		t.Errorf("CloseWrite: got %v, want %v", err, relayclient.ErrDropped)
	}
}

package main

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// startTarget returns the address of a target in this process.
func startTarget(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	target := &target{payload: newPayload()}
	serve(t, ln, func(conn *net.TCPConn) { _ = target.serve(conn) })
	return ln.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve is acceptAll until the test's end.
func serve(t *testing.T, ln net.Listener, handle func(*net.TCPConn)) {
	done := make(chan error, 1)
	go func() { done <- acceptAll(ln, handle) }()
	t.Cleanup(func() {
		ln.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
}

// alterBytes is a proxy to address through which bytes pass as change leaves them.
func alterBytes(t *testing.T, address string, change func([]byte) []byte) string {
	t.Helper()
	ln := listen(t)
	serve(t, ln, func(near *net.TCPConn) {
		far, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		copying := make(chan struct{})
		one := func(dst io.Writer, src io.Reader) {
			defer near.Close()
			defer far.Close()
			buf := make([]byte, readSize)
			for passed := 0; ; {
				n, err := src.Read(buf)
				if err != nil {
					return
				}
				// Not the first bytes, which hold the operation and the length.
				data := buf[:n]
				if passed > 1000 && n > 1000 {
					data = change(data)
				}
				passed += n
				if _, err := dst.Write(data); err != nil {
					return
				}
			}
		}
		go func() {
			defer close(copying)
			one(far, near)
		}()
		one(near, far)
		<-copying
	})
	return ln.Addr().String()
}

func TestChecksums(t *testing.T) {
	const size = 4<<20 + 77
	target := startTarget(t)
	var flips, swaps atomic.Int64
	ways := map[string]struct {
		address string
		whole   bool
	}{
		"direct": {target, true},
		"one bit changed": {alterBytes(t, target, func(p []byte) []byte {
			if flips.Add(1) == 3 {
				p[len(p)/2] ^= 4
			}
			return p
		}), false},
		"two pieces swapped": {alterBytes(t, target, func(p []byte) []byte {
			if swaps.Add(1) == 3 {
				p = append(append([]byte(nil), p[512:]...), p[:512]...)
			}
			return p
		}), false},
	}
	p := newPayload()
	for name, way := range ways {
		for _, w := range flows {
			flips.Store(0)
			swaps.Store(0)
			conn, err := open(t.Context(), way.address, w.op)
			if err != nil {
				t.Fatal(err)
			}
			err = w.move(conn, p, size)
			if way.whole && err != nil || !way.whole && !errors.Is(err, errChecksum) {
				t.Errorf("%s: %s: %v", name, w.name, err)
			}
			conn.Close()
		}
	}
}

// TestStreamOfAnotherIsNoticed, though its own checksum came along.
func TestStreamOfAnotherIsNoticed(t *testing.T) {
	p := newPayload()
	ln := listen(t)
	serve(t, ln, func(conn *net.TCPConn) {
		if err := greeted(conn); err != nil {
			t.Error(err)
			return
		}
		start, _ := readLength(conn)
		n, _ := readLength(conn)
		sum, err := p.send(conn, (start+1)%payloadSize, n)
		if err == nil {
			_, err = conn.Write(appendSum(nil, sum))
		}
		if err != nil {
			t.Log(err) // the app leaves at the first bytes
		}
	})
	conn, err := open(t.Context(), ln.Addr().String(), opSource)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := download(conn, p, 1000); !errors.Is(err, errChecksum) {
		t.Errorf("got %v, want %v", err, errChecksum)
	}
}

// greeted answers as a target does.
func greeted(conn net.Conn) error {
	var op [1]byte
	if _, err := io.ReadFull(conn, op[:]); err != nil {
		return err
	}
	_, err := conn.Write(op[:])
	return err
}

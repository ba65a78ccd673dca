package main

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

const testOneWay = 20 * time.Millisecond

func startDelay(t *testing.T, next string) string {
	t.Helper()
	ln := listen(t)
	done := make(chan error, 1)
	go func() { done <- delay{next, testOneWay}.serve(ln) }()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// TestDelayCountsTheHandshake: two round trips to the first answer, of which
// TCP's handshake is one, and one to each further one.
func TestDelayCountsTheHandshake(t *testing.T) {
	began := time.Now()
	conn, err := open(t.Context(), startDelay(t, startTarget(t)), opEcho)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if took := time.Since(began); took < 4*testOneWay {
		t.Errorf("the first answer came after %v, less than two round trips of %v", took, 2*testOneWay)
	}
	began = time.Now()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*testOneWay {
		t.Errorf("the second answer came after %v, less than a round trip of %v", took, 2*testOneWay)
	}
}

func TestDelayPassesMuchAndInOrder(t *testing.T) {
	address := startDelay(t, startTarget(t))
	p := newPayload()
	for _, w := range flows {
		conn, err := open(t.Context(), address, w.op)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := w.move(conn, p, 8<<20); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}

func TestDelayPassesTheEndsOn(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*net.TCPConn) error
		want error
	}{
		{"end of stream", (*net.TCPConn).CloseWrite, nil},
		{"reset", func(conn *net.TCPConn) error { return errors.Join(conn.SetLinger(0), conn.Close()) }, syscall.ECONNRESET},
	} {
		ln := listen(t)
		seen := make(chan error, 1)
		serve(t, ln, func(conn *net.TCPConn) {
			_, err := io.Copy(io.Discard, conn)
			seen <- err
		})
		conn, err := net.Dial("tcp", startDelay(t, ln.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("something")); err != nil {
			t.Fatal(err)
		}
		if err := c.end(conn.(*net.TCPConn)); err != nil {
			t.Fatal(err)
		}
		if err := <-seen; !errors.Is(err, c.want) {
			t.Errorf("%s: the other end sees %v", c.name, err)
		}
		// The other end closes then, which comes back.
		if _, err := io.Copy(io.Discard, conn); c.want == nil && err != nil {
			t.Errorf("%s: the way back: %v", c.name, err)
		}
	}
}

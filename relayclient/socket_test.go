package relayclient_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
)

// tlsPair is a Conn and the relay's end of its TLS.
func tlsPair(t testing.TB) (*relayclient.Conn, *tls.Conn) {
	t.Helper()
	cert, roots := certificate(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	far := tls.Server(accepted, &tls.Config{Certificates: []tls.Certificate{cert}})
	done := make(chan error, 1)
	go func() { done <- far.Handshake() }()
	near := relayclient.UpgradedTLS(t, conn.(*net.TCPConn), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return near, far
}

// TestStreamThroughTLSIsTheSameHoweverItIsRead cuts a stream of every kind of
// frame into TLS records anywhere, and reads it with buffers of any size.
func TestStreamThroughTLSIsTheSameHoweverItIsRead(t *testing.T) {
	stream, want := mixed()
	stream = append(stream, closeFrame(1000, "Shutdown")...)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		conn, far := tlsPair(t)
		sent := make(chan error, 1)
		go func() {
			for rest := stream; len(rest) > 0; {
				most := []int{1, 7, 300, 20_000, 70_000}[random.IntN(5)]
				n := min(1+random.IntN(most), len(rest))
				if _, err := far.Write(rest[:n]); err != nil {
					sent <- err
					return
				}
				rest = rest[n:]
			}
			sent <- far.CloseWrite()
		}()

		read := rand.New(rand.NewPCG(seed, 1))
		buf := make([]byte, 80_000)
		var got []byte
		var err error
		for err == nil {
			if read.IntN(2) == 0 {
				if err = conn.WaitReadable(); err != nil {
					break
				}
			}
			var n int
			n, err = conn.Read(buf[:1+read.IntN([]int{1, 3, 5_000, len(buf)}[read.IntN(4)])])
			if n == 0 && err == nil {
				t.Fatalf("seed %d: read nothing", seed)
			}
			got = append(got, buf[:n]...)
		}
		if !isEOF(err) || string(got) != want {
			t.Errorf("seed %d: got %d bytes and %v, want %d and the end of the stream", seed, len(got), err, len(want))
		}
		if err := <-sent; err != nil {
			t.Errorf("seed %d: send: %v", seed, err)
		}
		conn.Close()
		far.Close()
	}
}

// TestReadTakesWhatHasArrived: one read returns what several frames brought,
// and never waits for more than it has.
func TestReadTakesWhatHasArrived(t *testing.T) {
	conn, far := tlsPair(t)
	defer conn.Close()
	defer far.Close()
	go func() {
		var burst []byte
		for n := range 10 {
			burst = append(burst, frame(2, true, fmt.Sprint(n))...)
		}
		// The first bytes of another frame follow, and nothing more.
		far.Write(append(burst, 0x82, 126, 0xff))
	}()
	if err := conn.WaitReadable(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if string(buf[:n]) != "0123456789" || err != nil {
		t.Errorf("got %q, %v; want all that had arrived", buf[:n], err)
	}
}

// TestWaitingEndsWhenClosed: a wait that nothing arrives for ends with the
// connection, after reading and before it.
func TestWaitingEndsWhenClosed(t *testing.T) {
	for _, before := range []string{"", "x"} {
		conn, far := tlsPair(t)
		defer far.Close()
		if before != "" {
			far.Write(frame(2, true, before))
			if n, err := conn.Read(make([]byte, 10)); n != len(before) || err != nil {
				t.Fatalf("got %d bytes, %v", n, err)
			}
		}
		ended := make(chan error)
		go func() { ended <- conn.WaitReadable() }()
		for !conn.Waits() {
			runtime.Gosched()
		}
		conn.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, relayclient.ErrDropped) {
				t.Errorf("after reading %q: got %v, want that it was dropped", before, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("after reading %q: the wait goes on", before)
		}
	}
}

// TestWaitingMeetsAnEndThatCameWithBytes: what arrives together is announced by
// the kernel once, and the bytes need not be any that are waited for.
func TestWaitingMeetsAnEndThatCameWithBytes(t *testing.T) {
	for name, sent := range map[string][]byte{
		"Nothing":     nil,
		"HalfAHead":   {0x82},
		"Head":        {0x82, 1},
		"Pong":        frame(0xa, true, "pong"),
		"EmptyFrames": append(frame(2, true, ""), frame(2, true, "")...),
	} {
		t.Run(name, func(t *testing.T) {
			conn, far := tlsPair(t)
			defer conn.Close()
			if _, err := far.Write(sent); err != nil {
				t.Fatal(err)
			}
			far.NetConn().Close()
			ended := make(chan error, 1)
			go func() { ended <- conn.WaitReadable() }()
			select {
			case err := <-ended:
				if !errors.Is(err, relayclient.ErrDropped) {
					t.Errorf("got %v, want that it was dropped", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the wait goes on")
			}
		})
	}
}

// TestFloodDoesNotKeepAWaitFromEnding: frames without payload may come faster than
// they are read.
func TestFloodDoesNotKeepAWaitFromEnding(t *testing.T) {
	for name, flood := range map[string][]byte{"EmptyFrames": frame(2, true, ""), "Pings": frame(9, true, "")} {
		t.Run(name, func(t *testing.T) {
			conn, far := tlsPair(t)
			go io.Copy(io.Discard, far)
			flooded := make(chan struct{})
			begun := make(chan struct{})
			go func() {
				defer close(flooded)
				burst := bytes.Repeat(flood, 16_000/len(flood))
				for n := 0; ; n++ {
					if _, err := far.Write(burst); err != nil {
						return
					}
					if n == 50 {
						close(begun)
					}
				}
			}()
			ended := make(chan error, 1)
			go func() { ended <- conn.WaitReadable() }()
			<-begun
			go conn.Close()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("there is something to read")
				}
			case <-time.After(10 * time.Second):
				t.Error("the wait goes on")
			}
			far.NetConn().Close()
			<-flooded
			conn.Close()
		})
	}
}

func TestWaitingTellsTheEnd(t *testing.T) {
	conn, far := tlsPair(t)
	defer conn.Close()
	defer far.Close()
	go func() {
		far.Write(frame(2, true, "x"))
		far.Write(closeFrame(1000, ""))
	}()
	for range 2 { // waiting again changes nothing
		if err := conn.WaitReadable(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := conn.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	for range 2 { // nor now, when somebody else reads on
		if err := conn.WaitReadable(); !isEOF(err) {
			t.Errorf("got %v, want the end of the stream", err)
		}
	}
	if n, err := conn.Read(make([]byte, 10)); n != 0 || !isEOF(err) {
		t.Errorf("got %d bytes, %v; want the end of the stream", n, err)
	}
}

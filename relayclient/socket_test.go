package relayclient_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"

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
		if err != io.EOF || string(got) != want {
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
	if err := conn.WaitReadable(); err != io.EOF {
		t.Errorf("got %v, want the end of the stream", err)
	}
	if n, err := conn.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("got %d bytes, %v; want the end of the stream", n, err)
	}
}

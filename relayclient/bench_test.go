package relayclient_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/relayclient"
)

const benchMessage = 64 << 10

// BenchmarkConnWrite sends 64 KiB at a time: Frames into nothing, which is what masking
// and framing cost, and TLS to a reader on this machine.
func BenchmarkConnWrite(b *testing.B) {
	write := func(b *testing.B, conn *relayclient.Conn) {
		message := make([]byte, benchMessage)
		b.SetBytes(benchMessage)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := conn.Write(message); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("Frames", func(b *testing.B) {
		conn := relayclient.Upgraded(&endless{}, time.Hour)
		write(b, conn)
		conn.Close()
	})
	b.Run("TLS", func(b *testing.B) {
		conn, far := tlsPair(b)
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{far}, make([]byte, benchMessage))
		}()
		write(b, conn)
		conn.Close()
		<-taken
		far.Close()
	})
}

// BenchmarkConnRead takes messages of 64 KiB: Frames from memory, TLS from a writer on
// this machine. WaitReadable is called as by a forwarder.
func BenchmarkConnRead(b *testing.B) {
	read := func(b *testing.B, conn *relayclient.Conn) {
		buf := make([]byte, benchMessage)
		b.SetBytes(benchMessage)
		b.ReportAllocs()
		for b.Loop() {
			for left := benchMessage; left > 0; {
				if err := conn.WaitReadable(); err != nil {
					b.Fatal(err)
				}
				n, err := conn.Read(buf[:left])
				if err != nil {
					b.Fatal(err)
				}
				left -= n
			}
		}
	}
	message := ws.MustCompileFrame(ws.NewBinaryFrame(make([]byte, benchMessage)))
	b.Run("Frames", func(b *testing.B) {
		conn := relayclient.Upgraded(&endless{message: message}, time.Hour)
		read(b, conn)
		conn.Close()
	})
	b.Run("TLS", func(b *testing.B) {
		conn, far := tlsPair(b)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for {
				if _, err := far.Write(message); err != nil {
					return
				}
			}
		}()
		read(b, conn)
		conn.Close()
		<-sent
		far.Close()
	})
}

// endless is a connection on which one message comes over and over, and that takes
// whatever is written.
type endless struct {
	net.Conn // panics where a benchmark should not come
	message  []byte
	rest     []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		e.rest = e.message
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func (e *endless) Write(p []byte) (int, error) { return len(p), nil }

func (e *endless) Close() error { return nil }

// BenchmarkDial joins and drops, against a front end that answers 101 at once: Full
// with a whole TLS handshake each time, Resumed with the session of the one before. The
// certificate is P-256, as Azure's are. What the front end allocates is counted too.
func BenchmarkDial(b *testing.B) {
	for _, resumed := range []bool{false, true} {
		name := "Full"
		if resumed {
			name = "Resumed"
		}
		b.Run(name, func(b *testing.B) {
			cert, roots := certificate(b)
			ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: !resumed})
			if err != nil {
				b.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- upgradeAll(ln) }()
			client := &relayclient.Client{Namespace: "localhost:" + port(ln), RootCAs: roots}
			req := (&world{}).request()
			b.ReportAllocs()
			for b.Loop() {
				conn, err := client.Dial(b.Context(), req)
				if err != nil {
					b.Fatal(err)
				}
				conn.Close()
			}
			ln.Close()
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				b.Error(err)
			}
		})
	}
}

// upgradeAll answers one request after the other with 101 and then waits for its
// connection's end.
func upgradeAll(ln net.Listener) error {
	r := bufio.NewReader(nil)
	var answer bytes.Buffer
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		r.Reset(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			return err
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 §4.2.2
		answer.Reset()
		fmt.Fprintf(&answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		if _, err := conn.Write(answer.Bytes()); err != nil {
			return err
		}
		io.Copy(io.Discard, r)
		conn.Close()
	}
}

//go:build linux

package role

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

// playServer serves one kind of private server, or of broken relay.
func playServer(kind, address string, args []string) error {
	ln, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	switch kind {
	case "http":
		listening(ln)
		return http.Serve(ln, httpHandler(args[0]))
	case "garbage-tls":
		return serveGarbageTLS(ln, args[0])
	}
	handle, ok := map[string]func(net.Conn, []string) error{
		"echo":       echo,
		"late":       answerLate,
		"half-close": halfClose,
		"stream":     stream,
		"exchange":   exchangeForEver,
		"digest":     digest,
		"silent":     holdOpen,
		"garbage":    answerGarbage,
		"front":      front,
	}[kind]
	if !ok {
		return errors.New("no such role")
	}
	listening(ln)
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := handle(conn, args); err != nil {
				fmt.Fprintln(os.Stderr, kind, err)
			}
		}()
	}
}

// httpHandler answers / with text, GET /blob?size=N with Pattern(0), and POST
// /sum with the SHA-256 of what was posted.
func httpHandler(text string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, text) })
	mux.HandleFunc("GET /blob", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.FormValue("size"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.CopyN(w, Pattern(0), size) // the client sees what is missing
	})
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		if _, err := io.Copy(hash, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%x\n", hash.Sum(nil))
	})
	return mux
}

func echo(conn net.Conn, _ []string) error {
	_, err := io.Copy(conn, conn)
	return err
}

// answerLate is a server of HTTP/1.0's age: it reads a request's head, thinks
// for a second, or for args[1], answers args[0] bytes without a length, and
// closes.
func answerLate(conn net.Conn, args []string) error {
	size, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	thought := time.Second
	if len(args) > 1 {
		if thought, err = time.ParseDuration(args[1]); err != nil {
			return err
		}
	}
	head := textproto.NewReader(bufio.NewReader(conn))
	if _, err := head.ReadLine(); err != nil {
		return err
	}
	if _, err := head.ReadMIMEHeader(); err != nil {
		return err
	}
	<-time.After(thought)
	if _, err := io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n"); err != nil {
		return err
	}
	_, err = io.CopyN(conn, Pattern(0), size)
	return err
}

// halfClose ends its side at once, after the greeting in args if there is one,
// and prints the SHA-256 of what still comes.
func halfClose(conn net.Conn, args []string) error {
	if _, err := io.WriteString(conn, strings.Join(args, "")); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.Copy(hash, conn)
	if err != nil {
		return err
	}
	fmt.Printf("received %d %x\n", n, hash.Sum(nil))
	return nil
}

// stream sends for ever; its client's end is no failure.
func stream(conn net.Conn, _ []string) error {
	_, _ = io.Copy(conn, Pattern(0))
	return nil
}

// exchangeForEver is the server of many exchanges at once; its client's end is no
// failure.
func exchangeForEver(conn net.Conn, _ []string) error {
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	_ = trickle(conn)
	return nil
}

// front is a load balancer before args[0]; killed, it is a relay that has died
// and can come back with the same certificate.
func front(conn net.Conn, args []string) error {
	behind, err := net.Dial("tcp4", args[0])
	if err != nil {
		return err
	}
	defer behind.Close()
	go func() {
		defer conn.Close()
		_, _ = io.Copy(conn, behind)
	}()
	_, _ = io.Copy(behind, conn)
	return nil
}

// holdOpen says nothing and waits for the other side to end.
func holdOpen(conn net.Conn, _ []string) error {
	_, _ = io.Copy(io.Discard, conn)
	return nil
}

// digest greets with one byte, reads a header of size (8 bytes) and seed (1),
// then sends size bytes of Pattern(seed+1) while it receives size bytes, whose
// SHA-256 it sends last.
func digest(conn net.Conn, _ []string) error {
	if _, err := conn.Write([]byte{'!'}); err != nil {
		return err
	}
	var header [9]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return err
	}
	size, seed := int64(binary.BigEndian.Uint64(header[:])), header[8]
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(conn, Pattern(seed+1), size)
		sent <- err
	}()
	hash := sha256.New()
	_, err := io.CopyN(hash, conn, size)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	_, err = conn.Write(hash.Sum(nil))
	return err
}

// answerGarbage is a relay that does not even speak TLS.
func answerGarbage(conn net.Conn, _ []string) error {
	if _, err := io.WriteString(conn, "220 mail.corp.example ready\r\n"); err != nil {
		return err
	}
	return holdOpen(conn, nil)
}

// serveGarbageTLS is a relay that speaks TLS, as example.com, and no HTTP. It
// writes the certificate that vouches for it to caFile.
func serveGarbageTLS(ln net.Listener, caFile string) error {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.CopyN(conn, Pattern(3), 4096)
	}))
	server.Listener.Close()
	server.Listener = ln
	server.StartTLS()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(caFile, ca, 0o644); err != nil {
		return err
	}
	listening(ln)
	select {}
}

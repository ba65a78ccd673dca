package relayclient_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
)

// front accepts TLS connections and has serve, which is told how many came
// before, do with them what it likes. It returns a client of it.
func front(t *testing.T, serve func(n int, c *tls.Conn)) *relayclient.Client {
	t.Helper()
	cert, roots := certificate(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	conns.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer context.AfterFunc(ended, func() { c.Close() })()
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
				if s.Handshake() == nil {
					serve(n, s)
				}
				c.Close()
			})
		}
	})
	t.Cleanup(func() { end(); ln.Close(); conns.Wait() })
	client := &relayclient.Client{Namespace: "localhost:" + port(ln), RootCAs: roots}
	t.Cleanup(client.Close)
	return client
}

// accept answers an upgrade (RFC 6455 §4.2.2) and reads on to the end.
func accept(c *tls.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	io.Copy(io.Discard, c)
}

func mustDial(t *testing.T, c *relayclient.Client) {
	t.Helper()
	conn, err := c.Dial(t.Context(), relayclient.Request{Entity: "orders-hc"})
	if err != nil {
		t.Error(err)
		return
	}
	conn.Close()
}

// TestWarmConnectionThatSpeaksFirstIsNotUsed: a front end that is tired of
// waiting answers a request that was never made.
func TestWarmConnectionThatSpeaksFirstIsNotUsed(t *testing.T) {
	for _, early := range []string{
		"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"220 mail.corp.example ESMTP\r\n",
	} {
		said := make(chan struct{})
		client := front(t, func(n int, c *tls.Conn) {
			if n == 1 {
				io.WriteString(c, early)
				close(said)
				io.Copy(io.Discard, c)
				return
			}
			accept(c)
		})
		var told attempts
		client.WarmConnections, client.Hooks.Attempted = 1, told.add
		mustDial(t, client)
		eventually(t, "a connection is kept ready", func() bool { return len(client.WarmAddrs()) == 1 })
		<-said
		mustDial(t, client)
		if got := told.last(t); got.Warm || got.Err != nil || len(told.all) != 2 {
			t.Errorf("%q: got %+v, %d attempts; want a second one that is not warm", early, got, len(told.all))
		}
	}
}

// TestRefusalsAreNotWaitedOn: nobody reads what follows an answer's head.
func TestRefusalsAreNotWaitedOn(t *testing.T) {
	for name, answer := range map[string]string{
		"a body without a length": "HTTP/1.1 400 Bad Request\r\n\r\n<html>",
		"a body that never ends":  "HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n<html>",
		"an upgrade of others":    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
	} {
		client := front(t, func(_ int, c *tls.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, answer)
			io.Copy(io.Discard, c)
		})
		began := time.Now()
		_, err := client.Dial(t.Context(), relayclient.Request{Entity: "orders-hc"})
		if took := time.Since(began); !errors.Is(err, relayclient.ErrNotRelay) || took > 2*time.Second {
			t.Errorf("%s: got %v after %v, want %v at once", name, err, took, relayclient.ErrNotRelay)
		}
	}
}

func TestCloseBesideDials(t *testing.T) {
	client := front(t, func(_ int, c *tls.Conn) { accept(c) })
	client.WarmConnections = 4
	mustDial(t, client)
	eventually(t, "connections are kept ready", func() bool { return len(client.WarmAddrs()) == 4 })
	var dials sync.WaitGroup
	for range 10 {
		dials.Go(func() { mustDial(t, client) })
	}
	dials.Go(client.Close)
	dials.Wait()
}

// TestWaitingKeepsTheReason: the kernel tells only once how a connection was lost.
func TestWaitingKeepsTheReason(t *testing.T) {
	conn, far := tlsPair(t)
	defer conn.Close()
	done := make(chan error, 1)
	go func() { done <- conn.WaitReadable() }()
	tcp := far.NetConn().(*net.TCPConn)
	tcp.SetLinger(0)
	tcp.Close()
	if err := <-done; !errors.Is(err, relayclient.ErrDropped) || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want %v by a reset", err, relayclient.ErrDropped)
	}
}

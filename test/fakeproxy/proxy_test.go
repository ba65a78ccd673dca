package fakeproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"hyco-sidecar/test/fakeproxy"
)

// start serves s and returns its address.
func start(t *testing.T, s *fakeproxy.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// connect asks the proxy for target and returns the tunnel with its answer.
func connect(t *testing.T, address, target, header string) (*net.TCPConn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n%s\r\n", target, header)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), r, resp
}

// accepting is a server that hands over its first connection.
func accepting(t *testing.T) (address string, conns <-chan *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *net.TCPConn, 1)
	go func() {
		if conn, err := ln.Accept(); err == nil {
			accepted <- conn.(*net.TCPConn)
		}
		close(accepted)
	}()
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String(), accepted
}

func TestEndsPassThroughTheTunnel(t *testing.T) {
	target, accepted := accepting(t)
	s := &fakeproxy.Server{User: "app", Password: "hush"}
	conn, r, resp := connect(t, start(t, s), target, "Proxy-Authorization: Basic YXBwOmh1c2g=\r\n")
	if resp.StatusCode != http.StatusOK || s.Tunnels() != 1 || s.Taken() != 1 {
		t.Fatalf("got %s, %d tunnels of %d connections", resp.Status, s.Tunnels(), s.Taken())
	}
	far := <-accepted
	defer far.Close()
	io.WriteString(conn, "question")
	conn.CloseWrite()
	if got, err := io.ReadAll(far); string(got) != "question" || err != nil {
		t.Errorf("the target got %q, %v", got, err)
	}
	io.WriteString(far, "answer")
	reply := make([]byte, len("answer"))
	if _, err := io.ReadFull(r, reply); string(reply) != "answer" || err != nil {
		t.Errorf("after its half-close the client got %q, %v", reply, err)
	}
	far.SetLinger(0)
	far.Close()
	if _, err := r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target's reset came as %v", err)
	}
}

func TestWrongCredentialsAreAsked(t *testing.T) {
	s := &fakeproxy.Server{User: "app", Password: "hush", Challenge: []string{"Negotiate", `Basic realm="proxy"`}}
	for _, header := range []string{"", "Proxy-Authorization: Basic YXBwOndyb25n\r\n"} {
		_, _, resp := connect(t, start(t, s), "127.0.0.1:1", header)
		if resp.StatusCode != http.StatusProxyAuthRequired || len(resp.Header["Proxy-Authenticate"]) != 2 {
			t.Errorf("%q: got %s, %q", header, resp.Status, resp.Header)
		}
	}
}

func TestTargetThatIsNotThereIsABadGateway(t *testing.T) {
	if _, _, resp := connect(t, start(t, new(fakeproxy.Server)), "127.0.0.1:1", ""); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("got %s", resp.Status)
	}
}

func TestDropResetsTheTunnel(t *testing.T) {
	target, accepted := accepting(t)
	s := new(fakeproxy.Server)
	_, r, _ := connect(t, start(t, s), target, "")
	far := <-accepted
	defer far.Close()
	s.Drop()
	if _, err := r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client's side came to an end by %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target's side came to an end by %v", err)
	}
}

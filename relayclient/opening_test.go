package relayclient_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/memnet"
)

// listenWith is listen for a listener with more than a personality.
func (w *world) listenWith(t *testing.T, l *fakelistener.Listener) {
	t.Helper()
	online := make(chan struct{}, 100)
	l.ConnectionString = fakerelay.ConnectionString(w.addr, w.relay.Entities[0], w.relay.Entities[0].Rules[1])
	l.RootCAs = w.roots
	l.Online = func() { online <- struct{}{} }
	serve(t, l.Serve)
	<-online
}

// target is a private server on this machine.
func target(t *testing.T, do func(*net.TCPConn)) func(context.Context) (net.Conn, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			do(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", ln.Addr().String())
	}
}

func (w *world) opening(o relayclient.Opening) relayclient.Request {
	req := w.request()
	req.Opening = o
	return req
}

// exchange sends and half-closes while it takes the answer.
func exchange(t *testing.T, conn *relayclient.Conn, question string) string {
	t.Helper()
	if _, err := io.WriteString(conn, question); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestAzbridgeIsToldThePort(t *testing.T) {
	w := start(t, nil)
	w.listenWith(t, &fakelistener.Listener{Personality: fakelistener.Azbridge, PortNames: []string{"sql"}, Dial: target(t, func(c *net.TCPConn) {
		defer c.Close()
		io.WriteString(c, "hello ") // the server speaks first
		io.Copy(c, c)
	})})
	conn, err := w.client.Dial(t.Context(), w.opening(relayclient.Azbridge("sql")))
	if err != nil {
		t.Fatal(err)
	}
	if got := exchange(t, conn, "orders"); got != "hello orders" {
		t.Errorf("got %q", got)
	}
}

func TestAzbridgeRefusals(t *testing.T) {
	for _, test := range []struct {
		answer         []byte
		reason, report string
	}{
		{nil, "azbridge_port_name", `azbridge has no port "orders" on this hybrid connection`},
		{[]byte{0, 0, 0}, "azbridge_version", "azbridge does not know version 1.0"},
		{[]byte{0, 0, 1}, "azbridge_datagram_only", `azbridge's port "orders" forwards datagrams`},
		{[]byte{0, 0, 0xff}, "azbridge_stream_only", "which it was not asked for"},
		{[]byte("HTTP/1.1 400 Bad Request"), "opening_not_understood", "what came back is not azbridge's answer"},
		{[]byte{1}, "opening_not_understood", "what came back is not azbridge's answer"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			w := start(t, nil)
			w.listenWith(t, &fakelistener.Listener{Personality: fakelistener.Azbridge, PortNames: []string{"sql"}, Answer: test.answer, Dial: target(t, echo)})
			failed := w.fails(t, t.Context(), w.opening(relayclient.Azbridge("orders")))
			if failed.Reason() != test.reason || !strings.Contains(failed.Error(), test.report) ||
				failed.Stage != relayclient.StageOpening || failed.Temporary() || failed.Attempts != 1 {
				t.Errorf("got %s %v, attempts %d", failed.Reason(), failed, failed.Attempts)
			}
		})
	}
}

func TestAztunnelIsToldTheTarget(t *testing.T) {
	const size = 3 << 20
	w := start(t, nil)
	w.listenWith(t, &fakelistener.Listener{Personality: fakelistener.Aztunnel,
		Allow: func(target string) bool { return target == "sql01.corp.example:1433" },
		Dial: target(t, func(c *net.TCPConn) {
			defer c.Close()
			io.WriteString(c, "hello")
			io.CopyN(io.Discard, c, 6)
			c.Write(make([]byte, size)) // long after the question has ended
		})})
	conn, err := w.client.Dial(t.Context(), w.opening(relayclient.Aztunnel("sql01.corp.example:1433")))
	if err != nil {
		t.Fatal(err)
	}
	if !conn.Reached() {
		t.Error("the target is not known to be reached")
	}
	// The listener ends everything at our Close, and the answer is whole for all that.
	got := exchange(t, conn, "orders")
	if want := "hello" + string(make([]byte, size)); sha256.Sum256([]byte(got)) != sha256.Sum256([]byte(want)) {
		t.Errorf("%d bytes came, want %d", len(got), len(want))
	}
}

func TestAztunnelUploadArrivesWhole(t *testing.T) {
	const size = 3 << 20
	w := start(t, nil)
	arrived := make(chan int64, 1)
	w.listenWith(t, &fakelistener.Listener{Personality: fakelistener.Aztunnel, Dial: target(t, func(c *net.TCPConn) {
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		arrived <- n
	})})
	conn, err := w.client.Dial(t.Context(), w.opening(relayclient.Aztunnel("sql01.corp.example:1433")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	conn.Close() // the app has left
	if n := <-arrived; n != size {
		t.Errorf("%d bytes arrived, want %d", n, size)
	}
}

func TestAztunnelRefusals(t *testing.T) {
	for _, test := range []struct {
		err            error
		reason, report string
	}{
		{syscall.ECONNREFUSED, "target_connection_refused", "the listener did not reach sql01.corp.example:1433: connection_refused"},
		{syscall.EHOSTUNREACH, "target_host_unreachable", "host_unreachable"},
		{syscall.ENETUNREACH, "target_network_unreachable", "network_unreachable"},
		{os.ErrDeadlineExceeded, "target_timeout", "timeout"},
		{&net.DNSError{Err: "no such host", Name: "sql01"}, "target_dns_not_found", "dns_not_found"},
		{&net.DNSError{IsTimeout: true}, "target_dns_timeout", "dns_timeout"},
		{errors.New("some other failure"), "target_failed", "the listener did not reach sql01.corp.example:1433: connection failed"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			w := start(t, nil)
			w.listenWith(t, &fakelistener.Listener{Personality: fakelistener.Aztunnel, Dial: func(context.Context) (net.Conn, error) { return nil, test.err }})
			failed := w.fails(t, t.Context(), w.opening(relayclient.Aztunnel("sql01.corp.example:1433")))
			if failed.Reason() != test.reason || !strings.Contains(failed.Error(), test.report) || failed.Temporary() || strings.Contains(failed.Error(), "\n") {
				t.Errorf("got %s %v", failed.Reason(), failed)
			}
		})
	}
}

// TestAztunnelThatDiesIsNoEnd: an end of TLS is an end of stream with that listener, an end of
// TCP is not, though crypto/tls says io.EOF of both.
func TestAztunnelThatDiesIsNoEnd(t *testing.T) {
	w := start(t, nil)
	ctx, die := context.WithCancel(context.Background())
	online := make(chan struct{}, 1)
	l := &fakelistener.Listener{
		Personality:      fakelistener.Aztunnel,
		ConnectionString: fakerelay.ConnectionString(w.addr, w.relay.Entities[0], w.relay.Entities[0].Rules[1]),
		RootCAs:          w.roots,
		Online:           func() { online <- struct{}{} },
		Dial: target(t, func(c *net.TCPConn) {
			defer c.Close()
			io.WriteString(c, "half an answer")
			io.Copy(io.Discard, c)
		}),
	}
	serve(t, func(ends context.Context) error {
		defer context.AfterFunc(ends, die)()
		return l.Serve(ctx)
	})
	<-online
	conn, err := w.client.Dial(t.Context(), w.opening(relayclient.Aztunnel("sql01.corp.example:1433")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len("half an answer"))); err != nil {
		t.Fatal(err)
	}
	die()
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, relayclient.ErrDropped) {
		t.Errorf("got %d bytes, %v, want ErrDropped", n, err)
	}
}

// TestAListenersWordsAreOneLine: what a listener says goes into the log.
func TestAListenersWordsAreOneLine(t *testing.T) {
	failed := &relayclient.DialError{Entity: "orders-hc", Stage: relayclient.StageOpening, Err: errors.New("target is not\non the list")}
	if text := failed.Error(); !strings.Contains(text, "target is not on the list") || strings.Contains(text, "\n") {
		t.Errorf("got %q", text)
	}
}

// TestListenerOfAnotherKindIsNoMystery: whatever listens there, an error comes.
func TestListenerOfAnotherKindIsNoMystery(t *testing.T) {
	http := func(c *net.TCPConn) {
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		c.CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	for _, opening := range []relayclient.Opening{relayclient.Azbridge("sql"), relayclient.Aztunnel("sql01.corp.example:1433")} {
		for _, kind := range []fakelistener.Personality{fakelistener.HCM, fakelistener.HalfClose} {
			w := start(t, nil)
			w.listenWith(t, &fakelistener.Listener{Personality: kind, Dial: target(t, http)})
			if failed := w.fails(t, t.Context(), w.opening(opening)); failed.Reason() != "opening_not_understood" {
				t.Errorf("%s: got %s %v", kind, failed.Reason(), failed)
			}
		}
	}
	w := start(t, nil)
	w.listenWith(t, &fakelistener.Listener{Personality: fakelistener.HalfClose, Dial: target(t, func(c *net.TCPConn) { io.Copy(io.Discard, c); c.Close() })})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if failed := w.fails(t, ctx, w.opening(relayclient.Azbridge("sql"))); failed.Reason() != "opening_no_answer" || !errors.Is(failed, relayclient.ErrAttemptTimeout) {
		t.Errorf("a silent listener: got %s %v", failed.Reason(), failed)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if failed := w.fails(t, ctx, w.opening(relayclient.Azbridge("sql"))); failed.Reason() != "cancelled" {
		t.Errorf("an app that left: got %s %v", failed.Reason(), failed)
	}
}

// FuzzOpeningIsCutAnywhere: what follows the listener's answer is the app's,
// however it arrives.
func FuzzOpeningIsCutAnywhere(f *testing.F) {
	f.Add([]byte{1, 0, 0, 'h', 'i'}, uint8(3), false)
	f.Add([]byte(`{"version":1,"ok":true,"listener_id":"}{"}hi`), uint8(7), true)
	f.Add([]byte(`{"ok":true}`), uint8(200), true)
	f.Fuzz(func(t *testing.T, stream []byte, size uint8, envelope bool) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := memnet.Pipe()
			conn := relayclient.Upgraded(ours, time.Hour)
			go func() {
				defer theirs.Close()
				go io.Copy(io.Discard, theirs)
				for rest := stream; len(rest) > 0; {
					n := min(len(rest), int(size)+1, 125)
					if _, err := theirs.Write(append([]byte{0x82, byte(n)}, rest[:n]...)); err != nil {
						return
					}
					rest = rest[n:]
				}
				theirs.Write([]byte{0x88, 2, 0x03, 0xe8})
			}()
			opening := relayclient.Azbridge("sql")
			if envelope {
				opening = relayclient.Aztunnel("sql01:1433")
			}
			if err := relayclient.Open(conn, opening); err == nil {
				rest, err := io.ReadAll(conn)
				if err != nil || !strings.HasSuffix(string(stream), string(rest)) {
					t.Errorf("got %q, %v of %q", rest, err, stream)
				}
				if want := len(stream) - 3; !envelope && len(rest) != want {
					t.Errorf("%d bytes are left, want %d", len(rest), want)
				}
			}
			conn.Close()
		})
	})
}

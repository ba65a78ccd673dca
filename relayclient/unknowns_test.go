package relayclient_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// What is not publicly known of Azure Relay is tried both ways: a client that is
// right with one of them alone would be right by luck.

func TestRefusalsWhoseStatusIsNotKnown(t *testing.T) {
	key := relayclient.NewSASKey("defaultSender", sendKey)
	late := relayclient.NewSharedAccessSignature(fakerelay.SAS("http://localhost/orders-hc/",
		fakerelay.Rule{Name: "defaultSender", Key: sendKey}, time.Now().Add(-2*time.Minute)))
	for _, test := range []struct {
		name      string
		relay     func(*fakerelay.Server)
		entity    string
		tokens    relayclient.TokenSource
		silent    bool // the listener does not come
		status    int  // 0 = the dial succeeds
		reason    string
		temporary bool
	}{
		{"an unknown entity is 404", nil, "stock-hc", key, false, 404, "unknown_entity", false},
		{"an unknown entity is 401", func(s *fakerelay.Server) { s.UnknownEntityStatus = 401 }, "stock-hc", key, false, 401, "unauthorized", false},

		{"a missing right is 401", nil, "", relayclient.NewSASKey("defaultListener", "listen-key"), false, 401, "unauthorized", false},
		{"a missing right is 403", func(s *fakerelay.Server) { s.MissingClaimStatus = 403 }, "", relayclient.NewSASKey("defaultListener", "listen-key"), false, 403, "unauthorized", false},

		{"an accept that is late is 504", nil, "", key, true, 504, "not_accepted", true},
		{"an accept that is late is 404", func(s *fakerelay.Server) { s.NotFoundOnTimeout = true }, "", key, true, 404, "not_accepted", true},

		{"an end is kept to the second", nil, "", late, false, 401, "token_expired", false},
		{"an end is kept with five minutes' leeway", func(s *fakerelay.Server) { s.ExpiryLeeway = 5 * time.Minute }, "", late, false, 0, "", false},

		{"names are compared with case", nil, "Orders-HC", key, false, 404, "unknown_entity", false},
		{"names are compared without case", func(s *fakerelay.Server) { s.IgnoreNameCase = true }, "Orders-HC", key, false, 0, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := start(t, func(s *fakerelay.Server) {
				s.AcceptTimeout = 50 * time.Millisecond
				if !test.silent {
					s.AcceptTimeout = 30 * time.Second
				}
				if test.relay != nil {
					test.relay(s)
				}
			})
			personality := fakelistener.HalfClose
			if test.silent {
				personality = fakelistener.NeverRendezvous
			}
			w.listen(t, personality, echo)
			last := make(chan struct{})
			close(last) // one attempt, whatever may be tried again
			req := w.request()
			req.Tokens, req.NoRetry = test.tokens, last
			if test.entity != "" {
				req.Entity = test.entity
			}
			if test.status == 0 {
				conn, err := w.client.Dial(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				echoes(t, conn)
				conn.Close()
				return
			}
			e := w.fails(t, t.Context(), req)
			if e.Status != test.status || e.Reason() != test.reason || e.Temporary() != test.temporary {
				t.Errorf("got %d %s, temporary %v (%s), want %d %s, %v", e.Status, e.Reason(), e.Temporary(), e.Phrase, test.status, test.reason, test.temporary)
			}
		})
	}
}

// echoes sends a word and waits until it is back.
func echoes(t *testing.T, conn io.ReadWriter) {
	t.Helper()
	got := make([]byte, 5)
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("echo: %q %v", got, err)
	}
}

// A silent tunnel outlives the service's idle cut of 240 s by its pings every
// 30 s, and by nothing else. The times here are those, divided by 120.
func TestAKeptAliveTunnelIsNotCut(t *testing.T) {
	const cut, keepAlive = 2 * time.Second, 250 * time.Millisecond
	for _, test := range []struct {
		name           string
		cut, keepAlive time.Duration
		lives          bool
	}{
		{"no cut", 0, time.Hour, true},
		{"a cut and no keep-alive", cut, time.Hour, false},
		{"a cut and a keep-alive", cut, keepAlive, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, func(s *fakerelay.Server) { s.IdleCut = test.cut })
			w.client.KeepAlive = test.keepAlive
			w.listen(t, fakelistener.HalfClose, echo, func(l *fakelistener.Listener) { l.PongInterval = keepAlive })
			conn := w.dial(t)
			defer conn.Close()
			echoes(t, conn)
			ended := make(chan error, 1)
			word := make(chan []byte, 1)
			go func() {
				got := make([]byte, 5)
				_, err := io.ReadFull(conn, got)
				ended <- err
				word <- got
			}()
			select {
			case err := <-ended:
				if test.lives || err == nil || errors.Is(err, io.EOF) {
					t.Errorf("the silent tunnel ended: %v", err)
				}
				return
			case <-time.After(2 * cut):
			}
			if !test.lives {
				t.Fatal("the silent tunnel was not cut")
			}
			if _, err := io.WriteString(conn, "again"); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil || string(<-word) != "again" {
				t.Errorf("after the silence: %v", err)
			}
		})
	}
}

// Both directions end on their own, and all bytes arrive, whether the relay passes
// code and reason of a Close on or writes its own.
func TestHalfCloseWithCodesPassedOnAndRewritten(t *testing.T) {
	for name, rewrite := range map[string]bool{"passed on": false, "rewritten": true} {
		t.Run(name, func(t *testing.T) {
			w := start(t, func(s *fakerelay.Server) { s.RewriteCloseCodes = rewrite })
			size := 1 << 20
			upload := make(chan int64, 1)
			ends := make(chan string, 2)
			w.listen(t, fakelistener.HalfClose, func(c *net.TCPConn) {
				defer c.Close()
				first := make([]byte, 1)
				io.ReadFull(c, first)
				if first[0] == 'd' { // the target ends first
					c.Write(make([]byte, size))
					c.CloseWrite()
				}
				n, err := io.Copy(io.Discard, c)
				if err != nil {
					ends <- err.Error()
				}
				if first[0] == 'u' { // the app ends first
					c.Write(make([]byte, size))
				}
				upload <- n
			})
			for _, who := range []string{"u", "d"} {
				conn := w.dial(t)
				io.WriteString(conn, who)
				if who == "d" {
					if got, err := io.ReadAll(conn); err != nil || len(got) != size {
						t.Fatalf("target first: got %d bytes, %v", len(got), err)
					}
				}
				if _, err := conn.Write(bytes.Repeat([]byte("x"), size)); err != nil {
					t.Fatal(err)
				}
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if who == "u" {
					if got, err := io.ReadAll(conn); err != nil || len(got) != size {
						t.Fatalf("app first: got %d bytes, %v", len(got), err)
					}
				}
				if n := <-upload; n != int64(size) {
					t.Errorf("%s: the target got %d bytes", who, n)
				}
				conn.Close()
			}
			select {
			case text := <-ends:
				t.Errorf("the target's end: %s", text)
			default:
			}
		})
	}
}

// lineSignal tells when the relay logs that it has told a listener of a sender.
type lineSignal chan struct{}

func (s lineSignal) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("msg=invited")) {
		s <- struct{}{}
	}
	return len(p), nil
}

// A listener that is lost while a dial waits for it costs one more attempt, not the
// 30 s that the relay gives a listener to come.
func TestAListenerLostBeforeItAcceptsIsTriedAgain(t *testing.T) {
	invited := make(lineSignal, 1)
	w := start(t, func(s *fakerelay.Server) {
		s.AcceptTimeout = 30 * time.Second
		s.Logger = slog.New(slog.NewTextHandler(invited, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	w.listen(t, fakelistener.NeverRendezvous, echo)
	go func() {
		<-invited
		w.relay.CloseListeners("orders-hc", 0, "")
	}()
	last := make(chan struct{})
	close(last)
	req := w.request()
	req.NoRetry = last
	begin := time.Now()
	e := w.fails(t, t.Context(), req)
	if e.Status != http.StatusBadGateway || !e.Temporary() || time.Since(begin) > 5*time.Second {
		t.Errorf("got %v, temporary %v, after %v; want 502 at once", e, e.Temporary(), time.Since(begin))
	}
}

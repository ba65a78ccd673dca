package relayclient_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// attempts collects what the client tells of its attempts.
type attempts struct {
	mu  sync.Mutex
	all []relayclient.Attempt
}

func (a *attempts) add(one relayclient.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, one)
}

// last is the one that ended last.
func (a *attempts) last(t *testing.T) relayclient.Attempt {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.all) == 0 {
		t.Fatal("no attempt was told of")
	}
	return a.all[len(a.all)-1]
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

// warmWorld is a relay with an echo behind it and a client that keeps one
// connection ready. k holds the relay's ends.
func warmWorld(t *testing.T, adjust func(*fakerelay.Server)) (w *world, k *kept, told *attempts) {
	t.Helper()
	w = newWorld(t)
	if adjust != nil {
		adjust(w.relay)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k, told = &kept{Listener: ln}, &attempts{}
	w.addr = "localhost:" + port(ln)
	serve(t, func(ctx context.Context) error { return w.relay.Serve(ctx, k) })
	w.client = &relayclient.Client{
		Namespace: w.addr, RootCAs: w.roots, WarmConnections: 1,
		Hooks: relayclient.Hooks{Attempted: told.add},
	}
	t.Cleanup(w.client.Close)
	w.listen(t, fakelistener.HalfClose, echo)
	return w, k, told
}

func (w *world) awaitWarm(t *testing.T) string {
	t.Helper()
	eventually(t, "a connection is kept ready", func() bool { return len(w.client.WarmAddrs()) == 1 })
	return w.client.WarmAddrs()[0]
}

// echoes dials and has a word echoed.
func (w *world) echoes(t *testing.T) {
	t.Helper()
	conn := w.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, "word"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "word" {
		t.Fatalf("got %q, %v", buf, err)
	}
}

func TestConnectionsAreKeptReadyWhileInUse(t *testing.T) {
	w, _, told := warmWorld(t, nil)
	if got := w.client.WarmAddrs(); got != nil {
		t.Errorf("kept ready before the first use: %v", got)
	}
	w.echoes(t)
	if got := told.last(t); got.Warm || got.Connect == 0 || got.TLS == 0 || got.Upgrade == 0 || got.Err != nil {
		t.Errorf("first: got %+v", got)
	}
	first := w.awaitWarm(t)
	w.echoes(t)
	if got := told.last(t); !got.Warm || !got.Resumed || got.Connect != 0 || got.TLS != 0 || got.Upgrade == 0 {
		t.Errorf("second: got %+v", got)
	}
	eventually(t, "another takes its place", func() bool {
		now := w.client.WarmAddrs()
		return len(now) == 1 && now[0] != first
	})
	if got := len(w.relay.Connects()); got != 2 {
		t.Errorf("%d upgrades, want 2: more would have the listener dial its target", got)
	}
}

func TestOldConnectionsAreNotUsed(t *testing.T) {
	w, _, told := warmWorld(t, nil)
	w.echoes(t)
	w.awaitWarm(t)
	w.client.AgeWarm(relayclient.WarmLife)
	w.echoes(t)
	if got := told.last(t); got.Warm {
		t.Errorf("got %+v, want a new connection", got)
	}
}

// TestDeadWarmConnectionIsNotNoticed: whatever has happened to the connection
// that was kept ready, the app gets one.
func TestDeadWarmConnectionIsNotNoticed(t *testing.T) {
	for name, kill := range map[string]func(t *testing.T, k *kept, addr string){
		"closed":           func(t *testing.T, k *kept, addr string) { k.conn(t, addr).CloseWrite() },
		"reset":            func(t *testing.T, k *kept, addr string) { k.conn(t, addr).SetLinger(0); k.conn(t, addr).Close() },
		"vanished":         func(t *testing.T, k *kept, addr string) { k.drop(t, addr) },
		"closed when used": func(*testing.T, *kept, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			w, k, told := warmWorld(t, func(s *fakerelay.Server) {
				s.Fault = func(c fakerelay.Connect) fakerelay.Fault {
					if name == "closed when used" && c.Attempt == 2 {
						return fakerelay.Fault{Garbage: []byte{}} // hangs up without an answer
					}
					return fakerelay.Fault{}
				}
			})
			w.echoes(t)
			kill(t, k, w.awaitWarm(t))
			w.echoes(t)
			if got := told.last(t); got.Warm || got.Err != nil {
				t.Errorf("got %+v, want a new connection", got)
			}
		})
	}
}

func TestNothingIsKeptReadyOnceClosed(t *testing.T) {
	w, _, _ := warmWorld(t, nil)
	w.echoes(t)
	w.awaitWarm(t)
	w.client.Close()
	if got := w.client.WarmAddrs(); len(got) != 0 {
		t.Errorf("kept ready after Close: %v", got)
	}
	w.echoes(t) // still possible, as a drain may need it
	if got := w.client.WarmAddrs(); len(got) != 0 {
		t.Errorf("kept ready after Close and another use: %v", got)
	}
	w.client.Close()
}

// TestRelayIsAskedForTheKeyExchangeItWants: a relay that takes none of the key
// shares that are guessed costs a round trip, but only once.
func TestRelayIsAskedForTheKeyExchangeItWants(t *testing.T) {
	var told attempts
	w := start(t, func(s *fakerelay.Server) { s.Curves = []tls.CurveID{tls.CurveP384} })
	w.client.Hooks.Attempted = told.add
	w.listen(t, fakelistener.HalfClose, echo)
	var retries []bool
	for range 3 {
		w.echoes(t)
		retries = append(retries, told.last(t).HelloRetry)
	}
	if want := []bool{true, false, false}; !slices.Equal(retries, want) {
		t.Errorf("HelloRetryRequests: got %v, want %v", retries, want)
	}
}

func TestRelayMayChangeTheKeyExchangeItWants(t *testing.T) {
	var told attempts
	w := start(t, func(s *fakerelay.Server) { s.Curves = []tls.CurveID{tls.X25519} })
	w.client.Hooks.Attempted = told.add
	w.listen(t, fakelistener.HalfClose, echo)
	w.client.SetKeyExchange(tls.CurveP384)
	w.echoes(t)
	w.echoes(t)
	if len(told.all) != 2 {
		t.Errorf("%d attempts, want 2 that succeeded", len(told.all))
	}
}

func TestSearchListsAreLeftAside(t *testing.T) {
	for address, want := range map[string]string{
		"contoso.servicebus.windows.net:443":  "contoso.servicebus.windows.net.:443",
		"contoso.servicebus.windows.net.:443": "contoso.servicebus.windows.net.:443",
		"relay.svc:443":                       "relay.svc:443",
		"relay:443":                           "relay:443",
		"192.0.2.1:443":                       "192.0.2.1:443",
		"[2001:db8::1]:443":                   "[2001:db8::1]:443",
	} {
		if got := relayclient.Rooted(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestDebugLogTellsWhereTheTimeWent(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, echo)
	w.echoes(t)
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	line := w.log.String()
	for _, want := range []string{`msg="hybrid connection joined"`, "entity=orders-hc", "warm=false", "resumed=false",
		"resolve=", "connect=", "tls=", "upgrade="} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in: %s", want, line)
		}
	}
}

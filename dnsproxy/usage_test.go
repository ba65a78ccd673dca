package dnsproxy

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// A usageWorld is a Server on virtual time, whose clients are on TCP.
type usageWorld struct {
	t      *testing.T
	server *Server
	ln     *pipeListener
	told   []Usage

	mu     sync.Mutex
	logged bytes.Buffer
}

// Write takes what is logged.
func (w *usageWorld) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logged.Write(p)
}

// usageTest serves s, with an upstream that knows every name, while test runs.
func usageTest(t *testing.T, s *Server, test func(*usageWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &usageWorld{t: t, server: s, ln: &pipeListener{conns: make(chan net.Conn), closed: make(chan bool)}}
		upstreams := &network{hosts: map[string]func([]byte) []byte{first: alive}}
		s.dial = upstreams.dial
		s.Upstreams = []netip.AddrPort{netip.MustParseAddrPort(first)}
		s.Logger = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
			Level: slog.LevelInfo,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))
		s.Hooks.Usage = func(u Usage) { w.told = append(w.told, u) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, nil, []net.Listener{w.ln}) }()
		synctest.Wait()
		test(w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// ask sends one message on a connection of its own and returns the reply's rcode.
func (w *usageWorld) ask(msg []byte) Rcode {
	w.t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	w.ln.conns <- far
	if err := writeMessage(near, msg); err != nil {
		w.t.Fatal(err)
	}
	reply, err := readMessage(near)
	if err != nil {
		w.t.Fatal(err)
	}
	return rcodeOf(reply)
}

// log returns what has been logged since the last call.
func (w *usageWorld) log() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.logged.Reset()
	return w.logged.String()
}

const unusedLine = `level=WARN msg="no app has asked this resolver for a name since it started" dns=[:0] waited=5m0s` + "\n"

func TestThatNobodyAsksIsToldOnceAndThatSomebodyDoesAfterwards(t *testing.T) {
	usageTest(t, new(Server), func(w *usageWorld) {
		time.Sleep(5*time.Minute - time.Nanosecond)
		if got := w.log(); got != "" {
			t.Errorf("too early: %s", got)
		}
		time.Sleep(time.Nanosecond)
		if got := w.log(); got != unusedLine {
			t.Errorf("after five minutes got\n%s\nwant\n%s", got, unusedLine)
		}
		time.Sleep(24 * time.Hour)
		if got := w.log(); got != "" {
			t.Errorf("told again: %s", got)
		}
		w.ask(packed(t, "www.contoso.com.", dns.TypeA, nil))
		asked := time.Now()
		if got, want := w.log(), "level=INFO msg=\"an app uses this resolver now\"\n"; got != want {
			t.Errorf("after the first query got %q, want %q", got, want)
		}
		time.Sleep(24 * time.Hour)
		w.ask(packed(t, "www.contoso.com.", dns.TypeA, nil))
		if got := w.log(); got != "" {
			t.Errorf("after the second query got %q", got)
		}
		if want := []Usage{{}, {Queries: 1, Last: asked}}; !slices.Equal(w.told, want) {
			t.Errorf("the hook got %v, want %v", w.told, want)
		}
	})
}

func TestASilenceAfterTheFirstQueryIsNothingToTell(t *testing.T) {
	usageTest(t, new(Server), func(w *usageWorld) {
		time.Sleep(time.Minute)
		w.ask(packed(t, "www.contoso.com.", dns.TypeA, nil))
		asked := time.Now()
		time.Sleep(24 * time.Hour)
		if got := w.log(); got != "" {
			t.Errorf("logged %s", got)
		}
		want := Usage{Queries: 1, Last: asked}
		if !slices.Equal(w.told, []Usage{want}) || w.server.Usage() != want {
			t.Errorf("the hook got %v and Usage says %v, want %v", w.told, w.server.Usage(), want)
		}
	})
}

func TestOnlyQueriesOfOthersAreUsage(t *testing.T) {
	table, err := NewTable(maps.All(map[string]netip.Addr{"sql01.corp.example": netip.MustParseAddr("127.77.1.2")}))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Table: table, Self: []string{"contoso.servicebus.windows.net", "Fabrikam.servicebus.windows.net.", "", "no..name"}}
	if got := s.Usage(); got != (Usage{}) {
		t.Errorf("before Serve: %v", got)
	}
	usageTest(t, s, func(w *usageWorld) {
		for _, ours := range [][]byte{
			packed(t, Canary+".", dns.TypeTXT, nil),
			packed(t, "Hyco-Sidecar.INTERNAL.", dns.TypeA, nil),
			packed(t, "abc.loop."+Canary+".", dns.TypeTXT, nil), // another instance behind us
			packed(t, "contoso.servicebus.windows.net.", dns.TypeA, nil),
			packed(t, "fabrikam.ServiceBus.windows.net.", dns.TypeAAAA, nil),
			packed(t, "www.contoso.com.", dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
			packed(t, "www.contoso.com.", dns.TypeA, func(m *dns.Msg) { m.Question = nil }),
		} {
			w.ask(ours)
			if got := s.Usage(); got != (Usage{}) {
				t.Fatalf("%q counts: %v", ours, got)
			}
		}
		for i, others := range [][]byte{
			packed(t, "sql01.corp.example.", dns.TypeA, nil),
			packed(t, "sql01.corp.example.", dns.TypeAAAA, nil),
			packed(t, "2.1.77.127.in-addr.arpa.", dns.TypePTR, nil),
			packed(t, "www.contoso.com.", dns.TypeA, nil),
			packed(t, "servicebus.windows.net.", dns.TypeA, nil),
			packed(t, "www.contoso.servicebus.windows.net.", dns.TypeA, nil),
			packed(t, "internal.", dns.TypeA, nil),
			packed(t, ".", dns.TypeNS, nil),
		} {
			time.Sleep(time.Minute)
			w.ask(others)
			if got, want := s.Usage(), (Usage{Queries: uint64(i + 1), Last: time.Now()}); got != want {
				t.Errorf("after %q got %v, want %v", others, got, want)
			}
		}
	})
}

func TestTheLastQueryIsKnownToTheSecond(t *testing.T) {
	u := newUsage(nil)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, test := range []struct{ at, want time.Duration }{
		{0, 0},
		{999 * time.Millisecond, 0},
		{time.Second, time.Second},
		{-time.Hour, -time.Hour}, // the clock was set back
		{-time.Hour + time.Millisecond, -time.Hour},
		{time.Hour, time.Hour},
	} {
		u.add(noon.Add(test.at))
		if got := u.read(); got.Queries != uint64(i+1) || !got.Last.Equal(noon.Add(test.want)) {
			t.Errorf("at %v got %v, want %v", test.at, got, noon.Add(test.want))
		}
	}
}

func BenchmarkUsage(b *testing.B) {
	u := newUsage([]string{"contoso.servicebus.windows.net"})
	q := testQuery(b)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		u.count(q, now)
	}
}

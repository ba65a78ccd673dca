package dnsproxy_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// A load is 1,000 queries a second for names that nobody has asked before,
// from one socket, and what became of them.
type load struct {
	client net.Conn
	sent   [1 << 16]atomic.Int64 // when, in Unix nanoseconds, by id; 0 is not or is answered

	mu     sync.Mutex
	asked  int // in all; 0 while it goes on
	rcodes map[string]int
	took   []time.Duration
	since  map[string]time.Time // the first reply of an upstream since forget
}

// run asks until stop is closed and returns when the replies are there, or
// patience is over for the last.
func (l *load) run(t *testing.T, stop <-chan bool) {
	var readers sync.WaitGroup
	readers.Go(func() { l.read(t) })
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	start, asked := time.Now(), 0
	for running := true; running; {
		select {
		case <-stop:
			running = false
		case now := <-ticker.C:
			// What a busy machine has missed is asked later, but at no more than
			// twice the rate.
			for range min(10, int(now.Sub(start)/time.Millisecond)-asked) {
				asked++
				l.ask(t, asked)
			}
		}
	}
	l.client.SetReadDeadline(time.Now().Add(patience))
	l.mu.Lock()
	l.asked = asked
	if len(l.took) == asked {
		l.client.SetReadDeadline(time.Now())
	}
	l.mu.Unlock()
	readers.Wait()
	if n := asked - len(l.took); n > 0 {
		t.Errorf("%d of %d queries were not answered", n, asked)
	}
}

func (l *load) ask(t *testing.T, n int) {
	m := question(fmt.Sprintf("x%d.contoso.com", n), dns.TypeA)
	m.Id = uint16(n)
	l.sent[m.Id].Store(time.Now().UnixNano())
	if _, err := l.client.Write(wire(t, m)); err != nil {
		t.Error(err)
	}
}

// read takes replies until all are there or the deadline is over.
func (l *load) read(t *testing.T) {
	buf := make([]byte, 1<<16)
	for {
		n, err := l.client.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		m := new(dns.Msg)
		if err := m.Unpack(buf[:n]); err != nil {
			t.Errorf("%v: %x", err, buf[:n])
			continue
		}
		asked := l.sent[m.Id].Swap(0)
		if want := fmt.Sprintf("x%d.contoso.com.", m.Id); asked == 0 || m.Question[0].Name != want {
			t.Errorf("a reply that nobody waits for: %v", m)
			continue
		}
		l.mu.Lock()
		l.rcodes[dns.RcodeToString[m.Rcode]]++
		l.took = append(l.took, now.Sub(time.Unix(0, asked)))
		if len(m.Answer) == 1 {
			if from := m.Answer[0].(*dns.A).A.String(); l.since[from].IsZero() {
				l.since[from] = now
			}
		}
		all := len(l.took) == l.asked
		l.mu.Unlock()
		if all {
			return
		}
	}
}

// await waits for a reply of this upstream and returns how long that took.
func (l *load) await(t *testing.T, from string, most time.Duration) time.Duration {
	t.Helper()
	l.mu.Lock()
	clear(l.since)
	l.mu.Unlock()
	start := time.Now()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		l.mu.Lock()
		at := l.since[from]
		l.mu.Unlock()
		if !at.IsZero() {
			return at.Sub(start)
		}
		if time.Since(start) > most {
			t.Errorf("%s is not asked after %v", from, most)
			break
		}
	}
	return most
}

const (
	primary   = "192.0.2.1" // the address that it gives for every name
	secondary = "192.0.2.2"
)

func answering(address string) fakedns.Handler {
	return func(r *fakedns.Request) {
		m := r.Reply(dns.RcodeSuccess)
		if q := r.Msg.Question[0]; q.Qtype == dns.TypeA && !strings.HasSuffix(q.Name, dnsproxy.Canary+".") {
			a := net.ParseIP(address).To4()
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: a}}
		}
		r.SendMsg(m)
	}
}

// An outage is a way to be gone: begin starts it, end ends it.
type outage struct {
	name       string
	lasts      time.Duration
	begin, end func()
}

// TestNobodyNoticesThatAnUpstreamWasGone: while one of two upstreams is healthy
// no query of a busy application fails, and the one that comes back is used
// again.
func TestNobodyNoticesThatAnUpstreamWasGone(t *testing.T) {
	var mute, failing atomic.Bool
	good := answering(primary)
	handle := func(r *fakedns.Request) {
		switch {
		case mute.Load():
		case failing.Load():
			r.SendMsg(r.Reply(dns.RcodeServerFailure))
		default:
			good(r)
		}
	}
	// Nobody else takes a port of 127.0.0.2 while it is closed.
	one := fakedns.StartAt(t, netip.MustParseAddrPort("127.0.0.2:0"), handle)
	two := fakedns.Start(t, answering(secondary))
	for _, o := range []outage{
		// Longer than an upstream has for its answer.
		{"silent", 2500 * time.Millisecond, func() { mute.Store(true) }, func() { mute.Store(false) }},
		{"port closed", 500 * time.Millisecond, func() { one.Close() }, func() { one = fakedns.StartAt(t, one.Addr, handle) }},
		{"fails", 500 * time.Millisecond, func() { failing.Store(true) }, func() { failing.Store(false) }},
	} {
		t.Run(o.name, func(t *testing.T) {
			if testing.Short() && o.name != "silent" {
				t.Skip("takes seconds")
			}
			c := serve(t, &dnsproxy.Server{Upstreams: upstreams(one, two)})
			l := &load{client: c.dial("udp"), rcodes: make(map[string]int), since: make(map[string]time.Time)}
			stop := make(chan bool)
			var running sync.WaitGroup
			running.Go(func() { l.run(t, stop) })
			l.await(t, primary, patience)
			o.begin()
			over := time.After(o.lasts)
			switched := l.await(t, secondary, patience)
			<-over
			o.end()
			recovered := l.await(t, primary, 5*time.Second)
			close(stop)
			running.Wait()

			if len(l.rcodes) != 1 || l.rcodes["NOERROR"] == 0 {
				t.Errorf("the application got %v", l.rcodes)
			}
			slices.Sort(l.took)
			if len(l.took) == 0 {
				t.Fatal("no replies")
			}
			if longest := l.took[len(l.took)-1]; longest > 4500*time.Millisecond {
				t.Errorf("one query took %v", longest)
			}
			t.Logf("%d queries, %v; 99 of 100 within %v, all within %v; the other was asked after %v, the first again after %v",
				len(l.took), l.rcodes, l.took[len(l.took)*99/100], l.took[len(l.took)-1], switched, recovered)
		})
	}
}

// It makes no difference that nothing was ever heard of an upstream.
func TestUpstreamThatIsDeadAtTheStartIsUsedWhenItIsBack(t *testing.T) {
	for _, dead := range []time.Duration{3 * time.Second, 22500 * time.Millisecond, 10 * time.Minute} {
		t.Run(dead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := &memoryUpstream{handle: silent}, &memoryUpstream{handle: replying(record(t))}
				c := serveInMemory(t, &dnsproxy.Server{CacheSize: -1}, one, two)
				start := time.Now()
				c.ask(question(host, dns.TypeA))
				time.Sleep(time.Until(start.Add(dead)))
				one.set(replying(record(t)))
				time.Sleep(5 * time.Second)
				before := one.count(host)
				start = time.Now()
				if got := c.ask(question(host, dns.TypeA)); len(got.Answer) != 1 || time.Since(start) != 0 {
					t.Errorf("after %v: %v", time.Since(start), got)
				}
				if n := one.count(host) - before; n != 1 {
					t.Errorf("the first upstream, back for 5 s, was asked %d times", n)
				}
			})
		})
	}
}

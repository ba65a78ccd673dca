package dnsproxy

import (
	"context"
	"errors"
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
)

// A network is in memory: what is sent to an address comes to its
// function, which returns what comes back; nil is silence.
type network struct {
	mu    sync.Mutex
	hosts map[string]func(query []byte) []byte
	asked []string
}

func (n *network) dial(_ context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, address)
	answer, ok := n.hosts[address]
	if !ok {
		return nil, errors.New("no route to host")
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		buf := make([]byte, 1<<16)
		for {
			size, err := far.Read(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			reply := answer(buf[:size])
			n.mu.Unlock()
			if reply != nil {
				far.Write(reply)
			}
		}
	}()
	return near, nil
}

func (n *network) set(address string, answer func([]byte) []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[address] = answer
}

// log returns who has been asked since the last call.
func (n *network) log() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() { n.asked = nil }()
	return strings.Join(n.asked, " ")
}

func dead([]byte) []byte { return nil }

func alive(query []byte) []byte {
	reply := slices.Clone(query)
	reply[2] |= flagQR
	return reply
}

// testPool belongs to a bubble of synctest. It waits for its sockets in the end.
func testPool(t *testing.T, n *network, addrs ...string) *pool {
	t.Cleanup(func() { time.Sleep(socketTime) })
	s := &Server{dial: n.dial}
	for _, a := range addrs {
		s.Upstreams = append(s.Upstreams, netip.MustParseAddrPort(a))
	}
	return &s.proxy().pool
}

func testQuery(t testing.TB) *query {
	t.Helper()
	m := new(dns.Msg).SetQuestion("www.contoso.com.", dns.TypeA)
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return parseQuery(raw)
}

const (
	first  = "192.0.2.1:53"
	second = "192.0.2.2:53"
	third  = "192.0.2.3:53"
)

func TestTheTimeForOneQueryIsBounded(t *testing.T) {
	for _, test := range []struct {
		name  string
		dead  []string
		asked string
		want  time.Duration
	}{
		{"one", []string{first}, first + " " + first, 4 * time.Second},
		{"two", []string{first, second}, first + " " + second, patience + 2*time.Second},
		{"three", []string{first, second, third}, first + " " + second + " " + third, 2*patience + 2*time.Second},
		{"none", nil, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{hosts: map[string]func([]byte) []byte{first: dead, second: dead, third: dead}}
				p := testPool(t, n, test.dead...)
				start := time.Now()
				_, err := p.forward(t.Context(), testQuery(t), "udp")
				if err == nil {
					t.Error("got an answer")
				}
				if took := time.Since(start); took != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
				if got := n.log(); got != test.asked {
					t.Errorf("asked %s, want %s", got, test.asked)
				}
			})
		})
	}
}

func TestASilentUpstreamIsAskedLastUntilAProbeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func([]byte) []byte{first: alive, second: alive}}
		p := (&Server{dial: n.dial, Upstreams: []netip.AddrPort{netip.MustParseAddrPort(first), netip.MustParseAddrPort(second)}}).proxy()
		ctx, cancel := context.WithCancel(t.Context())
		defer p.goroutines.Wait()
		defer cancel()
		p.pool.ctx = ctx
		p.goroutines.Go(func() { p.watch(ctx, p.pool.upstreams[0]) })
		ask := func(wantAsked string, wantTook time.Duration) {
			t.Helper()
			time.Sleep(socketTime) // so that the query has a socket of its own
			synctest.Wait()        // for what the probes do at this time
			n.log()
			start := time.Now()
			if _, err := p.pool.forward(t.Context(), testQuery(t), "udp"); err != nil {
				t.Error(err)
			}
			if got, took := n.log(), time.Since(start); !strings.HasPrefix(got, wantAsked) || took != wantTook {
				t.Errorf("asked %s in %v, want %s in %v", got, took, wantAsked, wantTook)
			}
		}
		ask(first, 0)
		n.set(first, dead)
		ask(first+" "+second, patience)
		ask(second, 0)
		time.Sleep(time.Minute)
		ask(second, 0)
		n.set(first, alive)
		time.Sleep(2*time.Second + probeEvery) // for a probe on its way, and the next
		ask(first, 0)
	})
}

func TestALostDatagramIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := false
		n := &network{hosts: map[string]func([]byte) []byte{first: func(query []byte) []byte {
			if !lost {
				lost = true
				return nil
			}
			return alive(query)
		}}}
		start := time.Now()
		if _, err := testPool(t, n, first).forward(t.Context(), testQuery(t), "udp"); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestStraysDoNotProlongTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func([]byte) []byte{first: func(query []byte) []byte { return query }}}
		start := time.Now()
		if _, err := testPool(t, n, first).forward(t.Context(), testQuery(t), "udp"); err == nil {
			t.Error("a query was taken for a reply")
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestStoppingIsNotHeldAgainstTheUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func([]byte) []byte{first: dead}}
		p := testPool(t, n, first)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := p.forward(ctx, testQuery(t), "udp"); err == nil {
			t.Error("got an answer")
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		if p.upstreams[0].silent.Load() {
			t.Error("the upstream counts as silent")
		}
	})
}

func TestTheCanaryIsAskedUntilTheUpstreamAnswers(t *testing.T) {
	failing := func(query []byte) []byte { return parseQuery(query).serverFailure(0, "") }
	for _, test := range []struct {
		name   string
		before func([]byte) []byte
		want   int
	}{
		{"silent", dead, 3},     // at 0 s, 4 s, 10 s
		{"failing", failing, 4}, // at 0 s, 2 s, 6 s, 14 s
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{hosts: map[string]func([]byte) []byte{first: test.before}}
				s := &Server{dial: n.dial, Upstreams: []netip.AddrPort{netip.MustParseAddrPort(first)}}
				p := s.proxy()
				t.Cleanup(func() { time.Sleep(socketTime) })
				time.AfterFunc(7*time.Second, func() {
					n.mu.Lock()
					defer n.mu.Unlock()
					n.hosts[first] = func(query []byte) []byte { // a loop that comes up late
						reply, _ := p.own.answer(nil, parseQuery(query))
						return reply
					}
				})
				p.checkLoop(t.Context(), p.pool.upstreams[0])
				if !p.pool.upstreams[0].loops.Load() {
					t.Error("the loop was not seen")
				}
				if got := len(strings.Fields(n.log())); got != test.want {
					t.Errorf("asked %d times, want %d", got, test.want)
				}
			})
		})
	}
}

// A pipeListener accepts connections of net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan bool
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestIdleAndSlowClientsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan bool)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- new(Server).Serve(ctx, nil, []net.Listener{ln}) }()
		start := time.Now()
		var gone atomic.Int64
		for i := range maxTCPClients {
			near, far := net.Pipe()
			ln.conns <- far
			go func() {
				if i%2 == 0 { // half a message, and then nothing
					near.Write([]byte{0, 99, 1})
				}
				if n, err := near.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("got %d bytes, %v", n, err)
				}
				gone.Add(1)
			}()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the first %d waited %v", maxTCPClients, took)
		}
		near, far := net.Pipe()
		ln.conns <- far // in place of the one that was silent for longest
		if err := writeMessage(near, packed(t, Canary+".", dns.TypeTXT, nil)); err != nil {
			t.Error(err)
		}
		if _, err := readMessage(near); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("one more waited %v", took)
		}
		near.Close()
		time.Sleep(tcpIdle - time.Nanosecond)
		synctest.Wait()
		if gone.Load() != 1 {
			t.Errorf("%d were sent away too early", gone.Load()-1)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if gone.Load() != maxTCPClients {
			t.Errorf("%d of %d are gone", gone.Load(), maxTCPClients)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClientThatDoesNotReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan bool)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- new(Server).Serve(ctx, nil, []net.Listener{ln}) }()
		near, far := net.Pipe()
		ln.conns <- far
		start := time.Now()
		var err error
		for err == nil {
			err = writeMessage(near, packed(t, Canary+".", dns.TypeTXT, nil))
		}
		if took := time.Since(start); took != tcpIdle {
			t.Errorf("dropped after %v, want %v", took, tcpIdle)
		}
		cancel()
		<-done
	})
}

// An upstream that recovers while it is looked at is not overlooked.
func TestUpstreamThatRecoversIsInTheOrder(t *testing.T) {
	u := newUpstream(netip.MustParseAddrPort(first))
	p := &pool{upstreams: []*upstream{u}}
	var flipping sync.WaitGroup
	done := make(chan bool)
	flipping.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				u.silent.Store(!u.silent.Load())
			}
		}
	})
	for range 100_000 {
		if len(p.order()) != 1 {
			t.Error("there is nobody to ask")
			break
		}
	}
	close(done)
	flipping.Wait()
}

package dnsproxy_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// crowd opens n connections to the server; until the test ends every second
// one trickles a query that never comes to its end, and each is opened anew
// soon after the server has had enough of it.
func crowd(t *testing.T, addr string, n int) {
	done := make(chan bool)
	var wg sync.WaitGroup
	var opened sync.WaitGroup
	opened.Add(n)
	t.Cleanup(func() {
		close(done)
		wg.Wait()
	})
	for i := range n {
		wg.Go(func() {
			first := sync.OnceFunc(opened.Done)
			defer first()
			for {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				first()
				trickle(conn, i%2 == 0, done)
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	opened.Wait()
}

// trickle holds a connection until the server ends it or done is closed.
func trickle(conn net.Conn, bytewise bool, done <-chan bool) {
	defer conn.Close()
	closed := make(chan bool)
	go func() {
		io.Copy(io.Discard, conn)
		close(closed)
	}()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			conn.Close()
			<-closed
			return
		case <-closed:
			return
		case <-ticker.C:
			if bytewise {
				conn.Write([]byte{1}) // a length of 257 at first
			}
		}
	}
}

func TestSlowClientsDoNotLockOutOthers(t *testing.T) {
	up := fakedns.Start(t, fakedns.Answer(record(t)))
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)})
	crowd(t, c.addr, 300)
	for _, network := range []string{"udp", "tcp"} {
		for range 2 {
			for _, name := range []string{"sql01.corp.example", host} {
				start := time.Now()
				if got := c.ask(network, question(name, dns.TypeA)); len(got.Answer) != 1 {
					t.Errorf("%s: %v", network, got)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("%s: %s took %v", network, name, took)
				}
			}
		}
	}
}

// A client that asks and asks and never reads is nobody else's concern.
func TestClientThatOnlyAsksDoesNotLockOutOthers(t *testing.T) {
	c := serve(t, &dnsproxy.Server{Table: table(t)})
	greedy := c.dial("tcp")
	query := wire(t, question("sql01.corp.example", dns.TypeA))
	block := bytes.Repeat(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...), 1000)
	for {
		greedy.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := greedy.Write(block); err != nil {
			break // the server waits for it to read
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		start := time.Now()
		if got := c.ask(network, question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("%s: %v", network, got)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s took %v", network, took)
		}
	}
}

// Replies that nobody takes wait in the Server. One client has room there for a
// few, so that others are not refused.
func TestClientThatNeverReadsForwardedAnswersDoesNotLockOutOthers(t *testing.T) {
	const limit = 64 // queries, and 16 clients on average wait for each
	const most = 20 * limit
	arrived := make(chan bool, 2*most)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		r.SendMsg(r.Reply(dns.RcodeSuccess, record(t)))
		if strings.HasPrefix(r.Msg.Question[0].Name, "greedy") {
			arrived <- true
		}
	})
	pc, ln := fakedns.Listen(t)
	ln.Close()
	// A pipe holds nothing: the first reply waits for the client already.
	pipes := &memoryListener{conns: make(chan net.Conn), closed: make(chan bool)}
	c := serveOn(t, &dnsproxy.Server{Upstreams: upstreams(up), MaxInFlight: limit, CacheSize: -1}, pc, pipes)
	c.ask("udp", question(host, dns.TypeA))
	before := runtime.NumGoroutine()

	greedy, far := net.Pipe()
	defer greedy.Close()
	pipes.conns <- far
	taken := 0
	for waits := false; !waits && taken < most; {
		query := wire(t, question(fmt.Sprintf("greedy%d.contoso.com", taken), dns.TypeA))
		greedy.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := greedy.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
			break // the server waits for it to read
		}
		// One by one, so that few are on their way to the upstream at a time.
		select {
		case <-arrived:
			taken++
		case <-time.After(500 * time.Millisecond):
			waits = true
		}
	}
	if taken >= limit {
		t.Errorf("%d queries of a client that takes no reply were forwarded", taken)
	}
	if more := runtime.NumGoroutine() - before; more > 2*limit {
		t.Errorf("it keeps %d goroutines busy", more)
	}
	for i := range 50 {
		start := time.Now()
		if got := c.ask("udp", question(fmt.Sprintf("other%d.contoso.com", i), dns.TypeA)); got.Rcode != dns.RcodeSuccess {
			t.Errorf("another client got %v", got)
			break
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("another client waited %v", took)
		}
	}
}

package dnsproxy_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

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

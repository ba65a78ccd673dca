package dnsproxy_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// Replies that nobody takes wait in the Server. One client has room there for a
// few, so that others are not refused.
func TestClientThatNeverReadsForwardedAnswersDoesNotLockOutOthers(t *testing.T) {
	up := fakedns.Start(t, fakedns.Answer(record(t)))
	pc, ln := fakedns.Listen(t)
	ln.Close()
	// A pipe holds nothing: the first reply waits for the client already.
	pipes := &memoryListener{conns: make(chan net.Conn), closed: make(chan bool)}
	const limit = 64 // and 16 clients on average wait for each
	c := serveOn(t, &dnsproxy.Server{Upstreams: upstreams(up), MaxInFlight: limit, CacheSize: -1}, pc, pipes)
	c.ask("udp", question(host, dns.TypeA))
	before := runtime.NumGoroutine()

	greedy, far := net.Pipe()
	defer greedy.Close()
	pipes.conns <- far
	const most = 20 * limit
	taken := 0
	for ; taken < most; taken++ {
		query := wire(t, question(fmt.Sprintf("x%d.contoso.com", taken), dns.TypeA))
		greedy.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := greedy.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
			break // the server waits for it to read
		}
	}
	if taken >= limit {
		t.Errorf("%d queries of a client that takes no reply were read", taken)
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

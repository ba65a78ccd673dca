package dnsproxy_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
)

// An endless client has the next query at hand whenever the Server reads, and
// counts the replies.
type endless struct {
	queries  [][]byte
	from     net.Addr
	left     atomic.Int64
	replies  atomic.Int64
	want     int64
	finished chan bool // has an element when want replies have been written
	closed   chan bool
}

func (e *endless) ReadFrom(buf []byte) (int, net.Addr, error) {
	n := e.left.Add(-1)
	if n < 0 {
		<-e.closed
		return 0, nil, net.ErrClosed
	}
	return copy(buf, e.queries[n%int64(len(e.queries))]), e.from, nil
}

func (e *endless) WriteTo(msg []byte, _ net.Addr) (int, error) {
	if e.replies.Add(1) == e.want {
		e.finished <- true
	}
	return len(msg), nil
}

func (e *endless) Close() error                     { close(e.closed); return nil }
func (e *endless) LocalAddr() net.Addr              { return e.from }
func (e *endless) SetDeadline(time.Time) error      { return nil }
func (e *endless) SetReadDeadline(time.Time) error  { return nil }
func (e *endless) SetWriteDeadline(time.Time) error { return nil }

// manyNames is a table of n names and a query for each.
func manyNames(t testing.TB, n int) (*dnsproxy.Table, [][]byte) {
	t.Helper()
	var queries [][]byte
	tab, err := dnsproxy.NewTable(func(yield func(string, netip.Addr) bool) {
		for i := range n {
			name := fmt.Sprintf("server%05d.corp.example", i)
			queries = append(queries, wire(t, question(name, dns.TypeA)))
			if !yield(name, netip.AddrFrom4([4]byte{127, 77, byte(i >> 8), byte(i)})) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return tab, queries
}

// lookups returns how long one lookup takes in a table of so many names.
func lookups(t testing.TB, names int, count int64) time.Duration {
	t.Helper()
	tab, queries := manyNames(t, names)
	e := &endless{queries: queries, from: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53}, want: count,
		finished: make(chan bool, 1), closed: make(chan bool)}
	e.left.Store(count)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- (&dnsproxy.Server{Table: tab}).Serve(ctx, []net.PacketConn{e}, nil) }()
	<-e.finished
	took := time.Since(start)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return took / time.Duration(count)
}

// BenchmarkOwnNames shows the time of a lookup next to that in a table of one
// name.
func BenchmarkOwnNames(b *testing.B) {
	var one time.Duration
	for _, names := range []int{1, 10, 1000, 10000} {
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			took := lookups(b, names, int64(b.N))
			if names == 1 {
				one = took
			}
			b.ReportMetric(float64(took.Nanoseconds()), "ns/op")
			b.ReportMetric(float64(took)/float64(max(one, 1)), "×one-name")
		})
	}
}

func TestLookupTimeDoesNotDependOnTheNumberOfNames(t *testing.T) {
	best := func(names int) time.Duration {
		var all []time.Duration
		for range 5 {
			all = append(all, lookups(t, names, 5000))
		}
		return slices.Min(all)
	}
	one, many := best(1), best(1000)
	ratio := float64(many) / float64(one)
	t.Logf("a lookup takes %v among 1 name, %v among 1,000: ratio %.2f", one, many, ratio)
	if ratio > 3 { // the names no longer fit the CPU's nearest cache
		t.Errorf("a lookup takes %v among 1 name and %v among 1,000", one, many)
	}
}

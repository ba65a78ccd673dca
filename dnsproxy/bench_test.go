package dnsproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
)

// BenchmarkOwnNameUDP is an own name over a UDP socket of loopback, asked by a
// client that keeps 32 queries under way, as an app does while it starts.
func BenchmarkOwnNameUDP(b *testing.B) {
	benchmarkUDP(b, &dnsproxy.Server{Table: table(b)}, wire(b, question("sql01.corp.example", dns.TypeA)))
}

// BenchmarkOwnNameTCP is an own name over one connection, a query at a time.
func BenchmarkOwnNameTCP(b *testing.B) {
	c := serve(b, &dnsproxy.Server{Table: table(b)})
	conn := c.dial("tcp")
	conn.SetDeadline(time.Time{})
	msg := wire(b, question("sql01.corp.example", dns.TypeA))
	framed := append([]byte{0, byte(len(msg))}, msg...)
	buf := make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(framed); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf[2:2+int(buf[1])]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCachedNameUDP is a foreign name that is in the cache, asked as in
// [BenchmarkOwnNameUDP].
func BenchmarkCachedNameUDP(b *testing.B) {
	s := &dnsproxy.Server{Upstreams: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}}
	s.SetDial(cannedUpstream(wire(b, replyTo(question(host, dns.TypeA), dns.RcodeSuccess, record(b)))))
	benchmarkUDP(b, s, wire(b, question(host, dns.TypeA)))
}

// BenchmarkForeignNameUDP is a foreign name that is not cached, with an upstream
// in memory, asked as in [BenchmarkOwnNameUDP].
func BenchmarkForeignNameUDP(b *testing.B) {
	s := &dnsproxy.Server{CacheSize: -1, Upstreams: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}}
	s.SetDial(cannedUpstream(wire(b, replyTo(question(host, dns.TypeA), dns.RcodeSuccess, record(b)))))
	query := question(host, dns.TypeA)
	query.SetEdns0(1232, false)
	query.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 8)}} // so that nobody shares a query
	benchmarkUDP(b, s, wire(b, query))
}

// BenchmarkOwnNameInMemory is an own name without any network: what is spent
// between reading a datagram and writing one.
func BenchmarkOwnNameInMemory(b *testing.B) {
	b.ReportAllocs()
	lookups(b, 1, int64(b.N))
}

// benchmarkUDP asks a served Server msg over loopback, 32 at a time.
func benchmarkUDP(b *testing.B, s *dnsproxy.Server, msg []byte) {
	c := serve(b, s)
	conn := c.dial("udp")
	buf := make([]byte, 1<<12)
	conn.Write(msg) // the first fills the cache
	if _, err := conn.Read(buf); err != nil {
		b.Fatal(err)
	}
	window := make(chan bool, 32)
	var reading sync.WaitGroup
	reading.Go(func() {
		for range window {
			if _, err := conn.Read(buf); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		window <- true
		if _, err := conn.Write(msg); err != nil {
			b.Fatal(err)
		}
	}
	close(window)
	reading.Wait()
}

// cannedUpstream dials an upstream in memory that gives one reply to everything,
// with the id of the query.
func cannedUpstream(reply []byte) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, network, _ string) (net.Conn, error) {
		if network != "udp" {
			return nil, errors.New("no TCP here")
		}
		return &cannedConn{reply: reply, ids: make(chan [2]byte, 1024), closed: make(chan bool)}, nil
	}
}

// A cannedConn is a socket to such an upstream.
type cannedConn struct {
	net.Conn
	reply  []byte
	ids    chan [2]byte // of queries not yet answered
	closed chan bool
	once   sync.Once
}

func (c *cannedConn) Write(msg []byte) (int, error) {
	c.ids <- [2]byte(msg)
	return len(msg), nil
}

func (c *cannedConn) Read(buf []byte) (int, error) {
	select {
	case id := <-c.ids:
		n := copy(buf, c.reply)
		copy(buf, id[:])
		return n, nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *cannedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

package dnsproxy_test

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// table returns a table with two own names.
func table(t testing.TB) *dnsproxy.Table {
	t.Helper()
	tab, err := dnsproxy.NewTable(maps.All(map[string]netip.Addr{
		"sql01.corp.example": netip.MustParseAddr("127.77.1.2"),
		"API.corp.example.":  netip.MustParseAddr("127.77.3.4"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// A client asks a served Server, from a new socket each time.
type client struct {
	t    testing.TB
	addr string
	stop func()
}

// serve serves s on one port of 127.0.0.1 until the test ends.
func serve(t testing.TB, s *dnsproxy.Server) *client {
	t.Helper()
	pc, ln := fakedns.Listen(t)
	return serveOn(t, s, pc, ln)
}

// serveOn serves s on these sockets until the test ends.
func serveOn(t testing.TB, s *dnsproxy.Server, pc net.PacketConn, ln net.Listener) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []net.PacketConn{pc}, []net.Listener{ln}) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return &client{t: t, addr: pc.LocalAddr().String(), stop: stop}
}

func (c *client) dial(network string) net.Conn {
	c.t.Helper()
	conn, err := net.Dial(network, c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// send writes one message and recv reads one, framed as the network wants it.
func send(t testing.TB, conn net.Conn, msg []byte) {
	t.Helper()
	if conn.RemoteAddr().Network() == "tcp" {
		msg = append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
	}
	if _, err := conn.Write(msg); err != nil {
		t.Fatal(err)
	}
}

func recv(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	if conn.RemoteAddr().Network() == "udp" {
		buf := make([]byte, 1<<16)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, msg); err != nil {
		t.Fatal(err)
	}
	return msg
}

// raw sends a message and returns the reply.
func (c *client) raw(network string, msg []byte) []byte {
	c.t.Helper()
	conn := c.dial(network)
	send(c.t, conn, msg)
	return recv(c.t, conn)
}

func (c *client) ask(network string, m *dns.Msg) *dns.Msg {
	c.t.Helper()
	return parse(c.t, c.raw(network, wire(c.t, m)))
}

func wire(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, b []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("reply cannot be parsed: %v\n%x", err, b)
	}
	return m
}

// question returns a query with a fixed id.
func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.Id = 0x1234
	return m
}

func upstreams(servers ...*fakedns.Server) (addrs []netip.AddrPort) {
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// forwardedTo returns the queries that have arrived there, without the one for
// the canary.
func forwardedTo(s *fakedns.Server) []fakedns.Seen {
	return slices.DeleteFunc(s.Seen(), func(q fakedns.Seen) bool {
		m := new(dns.Msg)
		return m.Unpack(q.Raw) == nil && len(m.Question) == 1 && strings.HasSuffix(m.Question[0].Name, ".loop."+dnsproxy.Canary+".")
	})
}

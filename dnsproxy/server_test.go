package dnsproxy_test

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
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

func TestServeReturnsWhenQueriesAreInFlight(t *testing.T) {
	arrived := make(chan bool, 10)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		if r.Msg.Question[0].Name == "www.contoso.com." {
			arrived <- true
		}
	})
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up), Timeout: time.Hour})
	for _, network := range []string{"udp", "tcp"} {
		conn := c.dial(network)
		send(t, conn, wire(t, question("www.contoso.com", dns.TypeA)))
		<-arrived
	}
	start := time.Now()
	c.stop()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Serve returned after %v", took)
	}
}

func TestServeReturnsTheErrorOfAClosedSocket(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	err = new(dnsproxy.Server).Serve(t.Context(), []net.PacketConn{pc}, []net.Listener{ln})
	if err == nil {
		t.Error("Serve returned nil")
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the other socket is still open")
	}
}

func TestSeveralListenAddressesAreServed(t *testing.T) {
	var packets []net.PacketConn
	for range 3 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, pc)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&dnsproxy.Server{Table: table(t)}).Serve(ctx, packets, nil) }()
	for _, pc := range packets {
		c := &client{t: t, addr: pc.LocalAddr().String()}
		if got := c.ask("udp", question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("%v: %v", c.addr, got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReplyFromAWildcardSocketComesFromTheAddressAsked(t *testing.T) {
	for _, wildcard := range []string{"0.0.0.0:0", "[::]:0", "0.0.0.0:0 alone"} {
		network := "udp"
		address, alone := strings.CutSuffix(wildcard, " alone")
		if alone {
			network = "udp4"
		}
		pc, err := net.ListenPacket(network, address)
		if err != nil && os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skipf("this machine lacks %s: %v", wildcard, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (&dnsproxy.Server{Table: table(t)}).Serve(ctx, []net.PacketConn{pc}, nil) }()
		port := pc.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		asked := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.53"), port)
		c := &client{t: t, addr: asked.String()} // its connected socket takes no other source
		if got := c.ask("udp", question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("%s: %v", wildcard, got)
		}
		cancel()
		<-done
	}
}

func TestHooksReportEveryAnswer(t *testing.T) {
	up := fakedns.Start(t, fakedns.Rcode(dns.RcodeNameError))
	answered := make(chan dnsproxy.Answered, 10)
	asked := make(chan dnsproxy.Asked, 10)
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up), Hooks: dnsproxy.Hooks{
		Answered: func(a dnsproxy.Answered) { answered <- a },
		Asked:    func(a dnsproxy.Asked) { asked <- a },
	}})
	refused := question("www.contoso.com", dns.TypeA)
	refused.Opcode = dns.OpcodeStatus
	for _, test := range []struct {
		network string
		msg     *dns.Msg
		want    dnsproxy.Answered
	}{
		{"udp", question("sql01.corp.example", dns.TypeA), dnsproxy.Answered{Source: dnsproxy.SourceOwn, Type: 1}},
		{"tcp", question("sql01.corp.example", dns.TypeAAAA), dnsproxy.Answered{Source: dnsproxy.SourceOwn, Type: 28}},
		{"udp", question(dnsproxy.Canary, dns.TypeTXT), dnsproxy.Answered{Source: dnsproxy.SourceCanary, Type: 16}},
		{"udp", question("nx.contoso.com", dns.TypeMX), dnsproxy.Answered{Source: dnsproxy.SourceForwarded, Type: 15, Rcode: 3}},
		{"udp", refused, dnsproxy.Answered{Source: dnsproxy.SourceRefused, Rcode: 4}},
	} {
		c.ask(test.network, test.msg)
		got := <-answered
		if got.Took <= 0 {
			t.Errorf("took %v", got.Took)
		}
		got.Took = 0
		test.want.Network = test.network
		if got != test.want {
			t.Errorf("got %+v, want %+v", got, test.want)
		}
	}
	if got := <-asked; got.Upstream != up.Addr || got.Rcode != dns.RcodeNameError || got.Err != nil || got.Took <= 0 {
		t.Errorf("asked %+v", got)
	}
}

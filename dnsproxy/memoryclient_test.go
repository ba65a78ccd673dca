package dnsproxy_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/memnet"
)

// A memoryClient asks a Server that has no network. Each question comes from
// an address of its own.
type memoryClient struct {
	t       testing.TB
	packets *memoryPackets
	conns   *memoryListener

	mu      sync.Mutex
	sources []dnsproxy.Source
}

// serveInMemory serves s with these upstreams until the test ends. It is to be
// called in a synctest bubble.
func serveInMemory(t testing.TB, s *dnsproxy.Server, ups ...*memoryUpstream) *memoryClient {
	t.Helper()
	c := &memoryClient{
		t:       t,
		packets: &memoryPackets{in: make(chan datagram, 64), closed: make(chan bool), clients: make(map[uint16]chan []byte)},
		conns:   &memoryListener{conns: make(chan net.Conn), closed: make(chan bool)},
	}
	var wg sync.WaitGroup
	byAddr := make(map[string]*memoryUpstream)
	for i, u := range ups {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 53)
		byAddr[addr.String()] = u
		s.Upstreams = append(s.Upstreams, addr)
	}
	s.SetDial(func(_ context.Context, network, address string) (net.Conn, error) {
		u, ok := byAddr[address]
		if !ok {
			return nil, errors.New("no route to host")
		}
		near, far := net.Pipe()
		wg.Go(func() { u.serve(network, far) })
		return near, nil
	})
	s.Hooks.Answered = func(a dnsproxy.Answered) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sources = append(c.sources, a.Source)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []net.PacketConn{c.packets}, []net.Listener{c.conns}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		wg.Wait()
	})
	return c
}

// start sends a message over UDP; the reply comes over the channel.
func (c *memoryClient) start(msg []byte) <-chan []byte { return c.packets.ask(msg) }

// wait returns the reply that comes over the channel.
func (c *memoryClient) wait(reply <-chan []byte) []byte {
	c.t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case msg := <-reply:
		return msg
	case <-timer.C:
		c.t.Fatal("no reply within a minute")
		return nil
	}
}

// raw sends a message over UDP and returns the reply.
func (c *memoryClient) raw(msg []byte) []byte {
	c.t.Helper()
	return c.wait(c.start(msg))
}

func (c *memoryClient) ask(m *dns.Msg) *dns.Msg {
	c.t.Helper()
	return parse(c.t, c.raw(wire(c.t, m)))
}

// dialTCP returns a connection to the Server.
func (c *memoryClient) dialTCP() net.Conn {
	near, far := memnet.Pipe()
	c.t.Cleanup(func() { near.Close() })
	c.conns.conns <- far
	return near
}

func (c *memoryClient) askTCP(m *dns.Msg) *dns.Msg {
	c.t.Helper()
	conn := c.dialTCP()
	send(c.t, conn, wire(c.t, m))
	return parse(c.t, recv(c.t, conn))
}

// source returns where the last answer came from.
func (c *memoryClient) source() dnsproxy.Source {
	synctest.Wait() // the hook is called after the reply has left
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sources[len(c.sources)-1]
}

type datagram struct {
	msg  []byte
	from *net.UDPAddr
}

// memoryPackets is the Server's UDP socket.
type memoryPackets struct {
	in     chan datagram
	closed chan bool
	once   sync.Once

	mu      sync.Mutex
	port    uint16
	clients map[uint16]chan []byte
}

// ask sends msg from a new port.
func (p *memoryPackets) ask(msg []byte) <-chan []byte {
	reply := make(chan []byte, 1)
	p.mu.Lock()
	p.port++
	port := p.port
	p.clients[port] = reply
	p.mu.Unlock()
	p.in <- datagram{msg, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}}
	return reply
}

func (p *memoryPackets) ReadFrom(buf []byte) (int, net.Addr, error) {
	select {
	case d := <-p.in:
		return copy(buf, d.msg), d.from, nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo hands a reply to its client, which takes no second one.
func (p *memoryPackets) WriteTo(msg []byte, to net.Addr) (int, error) {
	port := uint16(to.(*net.UDPAddr).Port)
	p.mu.Lock()
	reply, ok := p.clients[port]
	delete(p.clients, port)
	p.mu.Unlock()
	if ok {
		reply <- slices.Clone(msg)
	}
	return len(msg), nil
}

func (p *memoryPackets) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *memoryPackets) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53}
}
func (p *memoryPackets) SetDeadline(time.Time) error      { return nil }
func (p *memoryPackets) SetReadDeadline(time.Time) error  { return nil }
func (p *memoryPackets) SetWriteDeadline(time.Time) error { return nil }

// memoryListener is the Server's TCP socket.
type memoryListener struct {
	conns  chan net.Conn
	closed chan bool
	once   sync.Once
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53} }

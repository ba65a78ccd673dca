// Package fakedns is an upstream resolver for tests that does as it is told:
// it answers, lies, truncates, resets or stays silent, over UDP and TCP on one
// port of a loopback address.
package fakedns

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A Server is one upstream. It ends with the test that started it.
type Server struct {
	Addr netip.AddrPort // of both sockets

	handle Handler
	pc     net.PacketConn
	ln     net.Listener
	mu     sync.Mutex
	seen   []Seen
	conns  []net.Conn
	closed bool
	wg     sync.WaitGroup
}

// A Handler decides what becomes of one query. To stay silent it does nothing.
// Handlers run at the same time.
type Handler func(*Request)

// Seen is a query as it arrived.
type Seen struct {
	Network string // "udp" or "tcp"
	Raw     []byte
}

// A Request is a query and the ways to react to it.
type Request struct {
	Seen
	Msg *dns.Msg // nil if Raw cannot be parsed

	send, sendElsewhere, sendHalf func([]byte)
	reset                         func()
}

// Start starts an upstream on a free port of 127.0.0.1.
func Start(tb testing.TB, handle Handler) *Server {
	tb.Helper()
	return StartAt(tb, netip.MustParseAddrPort("127.0.0.1:0"), handle)
}

// StartAt starts an upstream at an address of this machine, such as that of
// one that has been closed. Port 0 is a free one.
func StartAt(tb testing.TB, addr netip.AddrPort, handle Handler) *Server {
	tb.Helper()
	pc, ln := ListenAt(tb, addr)
	s := &Server{Addr: pc.LocalAddr().(*net.UDPAddr).AddrPort(), handle: handle, pc: pc, ln: ln}
	tb.Cleanup(s.Close)
	s.wg.Go(func() { s.serveUDP(pc) })
	s.wg.Go(func() { s.serveTCP(ln) })
	return s
}

// Close ends the upstream: its port refuses from now on. The end of the test
// does it otherwise.
func (s *Server) Close() {
	s.pc.Close()
	s.ln.Close()
	s.mu.Lock()
	s.closed = true
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Seen returns the queries that have arrived so far.
func (s *Server) Seen() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Send sends msg as it is.
func (r *Request) Send(msg []byte) { r.send(msg) }

// SendElsewhere sends msg from another port. It does nothing over TCP.
func (r *Request) SendElsewhere(msg []byte) { r.sendElsewhere(msg) }

// Spy returns the request with a look at whatever is sent as a reply.
func (r *Request) Spy(look func(msg []byte)) *Request {
	spied := *r
	spied.send = func(msg []byte) {
		look(msg)
		r.send(msg)
	}
	return &spied
}

// SendHalf sends half of msg and ends the connection. It does nothing over UDP.
func (r *Request) SendHalf(msg []byte) { r.sendHalf(msg) }

// Reset ends a TCP connection with a reset. It does nothing over UDP.
func (r *Request) Reset() { r.reset() }

// Reply returns a reply with the given code and records, not yet sent.
func (r *Request) Reply(rcode int, answer ...dns.RR) *dns.Msg {
	m := new(dns.Msg).SetRcode(r.Msg, rcode)
	m.RecursionAvailable = true
	m.Answer = answer
	if opt := r.Msg.IsEdns0(); opt != nil {
		m.SetEdns0(4096, opt.Do())
	}
	return m
}

// SendMsg sends a message after packing it.
func (r *Request) SendMsg(m *dns.Msg) {
	if wire, err := m.Pack(); err == nil {
		r.send(wire)
	}
}

// Answer returns a handler that answers every query with these records.
func Answer(records ...dns.RR) Handler {
	return func(r *Request) { r.SendMsg(r.Reply(dns.RcodeSuccess, records...)) }
}

// Rcode returns a handler that answers every query with a code only.
func Rcode(code int) Handler {
	return func(r *Request) { r.SendMsg(r.Reply(code)) }
}

// Silent is a handler that answers nothing.
func Silent(*Request) {}

// RR returns the record of a line in the format of a zone file.
func RR(tb testing.TB, line string) dns.RR {
	tb.Helper()
	rr, err := dns.NewRR(line)
	if err != nil {
		tb.Fatal(err)
	}
	return rr
}

// Listen returns sockets for UDP and TCP on one free port of 127.0.0.1. The
// caller closes them.
func Listen(tb testing.TB) (net.PacketConn, net.Listener) {
	tb.Helper()
	return ListenAt(tb, netip.MustParseAddrPort("127.0.0.1:0"))
}

// ListenAt is Listen at another address. Port 0 is a free one.
func ListenAt(tb testing.TB, addr netip.AddrPort) (net.PacketConn, net.Listener) {
	tb.Helper()
	for range 20 {
		pc, err := net.ListenPacket("udp", addr.String())
		if err != nil {
			tb.Fatal(err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln
		}
		pc.Close()
	}
	tb.Fatalf("fakedns: no port of %v is free for both UDP and TCP", addr)
	return nil, nil
}

func (s *Server) serveUDP(pc net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		r := &Request{
			Seen: Seen{Network: "udp", Raw: slices.Clone(buf[:n])},
			send: func(msg []byte) { pc.WriteTo(msg, from) },
			sendElsewhere: func(msg []byte) {
				if other, err := net.ListenPacket("udp", netip.AddrPortFrom(s.Addr.Addr(), 0).String()); err == nil {
					other.WriteTo(msg, from)
					other.Close()
				}
			},
			sendHalf: func([]byte) {},
			reset:    func() {},
		}
		s.wg.Go(func() { s.serve(r) })
	}
}

func (s *Server) serveTCP(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		if s.closed {
			conn.Close()
		}
		s.mu.Unlock()
		s.wg.Go(func() { s.serveConn(conn.(*net.TCPConn)) })
	}
}

func (s *Server) serveConn(conn *net.TCPConn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, raw); err != nil {
			return
		}
		framed := func(msg []byte) []byte {
			return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
		}
		s.serve(&Request{
			Seen:          Seen{Network: "tcp", Raw: raw},
			send:          func(msg []byte) { conn.Write(framed(msg)) },
			sendElsewhere: func([]byte) {},
			sendHalf: func(msg []byte) {
				conn.Write(framed(msg)[:2+len(msg)/2])
				conn.Close()
			},
			reset: func() {
				conn.SetLinger(0)
				conn.Close()
			},
		})
	}
}

func (s *Server) serve(r *Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Seen)
	s.mu.Unlock()
	if m := new(dns.Msg); m.Unpack(r.Raw) == nil {
		r.Msg = m
	}
	s.handle(r)
}

package dnsproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/miekg/dns"
)

const (
	// receiveBuffer is asked of the kernel for each UDP socket, for the burst of
	// queries with which an application starts. Linux gives no more than
	// net.core.rmem_max, 208 KiB unless set otherwise.
	receiveBuffer = 1 << 20

	// batchSize is how many datagrams one system call reads or writes. System calls
	// are most of what an own answer costs.
	batchSize = 32

	// largestInBatch is what is taken of a datagram in a batch, in bytes. Queries
	// have less than 1 KiB.
	largestInBatch = 16 << 10

	// largestDatagram is the largest there is.
	largestDatagram = 1 << 16
)

// serveUDP answers the datagrams of one socket until that is closed or ctx ends.
// One goroutine reads: Go lets one read at a time anyway, and with two that take
// turns an own answer cost a third more CPU.
func (p *proxy) serveUDP(ctx context.Context, pc net.PacketConn) error {
	if b, ok := pc.(interface{ SetReadBuffer(int) error }); ok {
		b.SetReadBuffer(receiveBuffer) // a refusal only means that more of a burst is lost
	}
	return p.serveClients(ctx, newUDPTransport(p, pc), p.goroutines)
}

// A udpTransport is the [transport] of a socket for datagrams.
type udpTransport struct {
	p       *proxy
	conn    net.PacketConn // where late replies are written
	batcher batcher
	in      []ipv4.Message
	out     []ipv4.Message // of which the first queued are to be sent
	queued  int
}

// A batcher reads and writes datagrams, several at a time.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// newUDPTransport returns the transport for pc: one that reads and writes in
// batches, which Linux can do, if pc is a UDP socket with an address of its own.
func newUDPTransport(p *proxy, pc net.PacketConn) *udpTransport {
	t := &udpTransport{p: p, conn: pc}
	size, largest := batchSize, largestInBatch
	switch conn, isUDP := pc.(*net.UDPConn); {
	case isUDP && !isWildcard(conn):
		t.batcher = batcherOf(conn)
	case isUDP && reportDestination(conn):
		t.conn = wildcardConn{conn}
		fallthrough
	default:
		t.batcher, size, largest = single{t.conn}, 1, largestDatagram
	}
	t.in, t.out = make([]ipv4.Message, size), make([]ipv4.Message, size)
	for i := range size {
		t.in[i].Buffers = [][]byte{make([]byte, largest)}
		t.out[i].Buffers = make([][]byte, 1)
	}
	return t
}

func (t *udpTransport) network() string { return "udp" }

func (t *udpTransport) receive(ctx context.Context) (int, error) {
	for {
		n, err := t.batcher.ReadBatch(t.in, 0)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return 0, fmt.Errorf("dnsproxy: reading from %v: %w", t.conn.LocalAddr(), err)
		}
		if err == nil {
			return n, nil
		}
		// The kernel is short of memory, or reports what became of an earlier reply.
		t.p.log.LogAttrs(ctx, slog.LevelDebug, "DNS socket failed to read", slog.Any("error", err))
		sleep(ctx, 10*time.Millisecond)
	}
}

func (t *udpTransport) message(i int) []byte { return t.in[i].Buffers[0][:t.in[i].N] }

func (t *udpTransport) reply(i int, reply []byte) {
	m := &t.out[t.queued]
	m.Buffers[0], m.Addr = reply, t.in[i].Addr
	t.queued++
}

// flush sends all replies. One that cannot be sent keeps none of the others back.
func (t *udpTransport) flush(ctx context.Context) {
	for ms := t.out[:t.queued]; len(ms) > 0; {
		n, err := t.batcher.WriteBatch(ms, 0)
		if err != nil || n == 0 {
			t.noteSent(ctx, err)
			n = 1
		}
		ms = ms[n:]
	}
	t.queued = 0
}

func (t *udpTransport) sender(ctx context.Context, i int) func(reply []byte) {
	to := t.in[i].Addr
	return func(reply []byte) {
		_, err := t.conn.WriteTo(reply, to)
		t.noteSent(ctx, err)
	}
}

func (t *udpTransport) noteSent(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		t.p.log.LogAttrs(ctx, slog.LevelDebug, "DNS reply was not sent", slog.Any("error", err))
	}
}

// batcherOf returns the batcher of a socket with an address of its own. The
// messages of both packages are of one type.
func batcherOf(conn *net.UDPConn) batcher {
	if addr, ok := conn.LocalAddr().(*net.UDPAddr); ok && addr.IP.To4() == nil {
		return ipv6.NewPacketConn(conn)
	}
	return ipv4.NewPacketConn(conn)
}

// A single is a batcher for batches of one.
type single struct{ net.PacketConn }

func (s single) ReadBatch(ms []ipv4.Message, _ int) (n int, err error) {
	m := &ms[0]
	m.N, m.Addr, err = s.ReadFrom(m.Buffers[0])
	return 1, err
}

func (s single) WriteBatch(ms []ipv4.Message, _ int) (int, error) {
	_, err := s.WriteTo(ms[0].Buffers[0], ms[0].Addr)
	return 1, err
}

// A wildcardConn is a socket bound to a wildcard address, whose kernel reports to
// which address a datagram was sent. Replies leave from there: left to itself the
// kernel would choose their source by the route back, and a client that asked
// another of our addresses would not take them.
type wildcardConn struct{ *net.UDPConn }

func (c wildcardConn) ReadFrom(buf []byte) (int, net.Addr, error) {
	n, s, err := dns.ReadFromSessionUDP(c.UDPConn, buf)
	return n, session{s}, err
}

func (c wildcardConn) WriteTo(msg []byte, to net.Addr) (int, error) {
	return dns.WriteToSessionUDP(c.UDPConn, msg, to.(session).SessionUDP)
}

// A session is a client's address together with ours that it asked.
type session struct{ *dns.SessionUDP }

func (s session) Network() string { return "udp" }
func (s session) String() string  { return s.RemoteAddr().String() }

// isWildcard reports whether conn is bound to a wildcard address.
func isWildcard(conn *net.UDPConn) bool {
	addr, ok := conn.LocalAddr().(*net.UDPAddr)
	return ok && addr.IP.IsUnspecified()
}

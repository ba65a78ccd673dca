package dnsproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// batchSize is how many datagrams are read and written by one system call, of
	// which an answer of ours mostly consists.
	batchSize = 32

	// largestQuery is what is taken of a datagram. Queries have less than 1 KiB.
	largestQuery = 16 << 10
)

// A batcher reads and writes datagrams, many at a time on Linux. Both packages'
// messages are of one type.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

func batcherOf(conn *net.UDPConn) batcher {
	if addr, ok := conn.LocalAddr().(*net.UDPAddr); ok && addr.IP.To4() == nil {
		return ipv6.NewPacketConn(conn)
	}
	return ipv4.NewPacketConn(conn)
}

// readBatches answers the datagrams of a socket that has an address of its own.
func (p *proxy) readBatches(ctx context.Context, conn *net.UDPConn) error {
	b := batcherOf(conn)
	in, out := make([]ipv4.Message, batchSize), make([]ipv4.Message, batchSize)
	buffers := make([][]byte, batchSize) // of replies
	reports := make([]Answered, batchSize)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, largestQuery)}
		out[i].Buffers = make([][]byte, 1)
		buffers[i] = make([]byte, 0, minUDP)
	}
	var q query
	var scratch [300]byte
	for {
		n, err := b.ReadBatch(in, 0)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("dnsproxy: reading from %v: %w", conn.LocalAddr(), err)
		}
		if err != nil {
			p.pauseAfter(ctx, err)
			continue
		}
		began := time.Now()
		replies := 0
		for _, m := range in[:n] {
			if raw := m.Buffers[0][:m.N]; !q.parse(raw) {
				p.dropped(dropped(raw))
				continue
			}
			reply, report, key := p.known(buffers[replies][:0], &q, "udp", began, scratch[:0])
			if reply == nil {
				p.request(ctx, p.flying, "udp", q.clone(), key, began, func(reply []byte) {
					_, err := conn.WriteTo(reply, m.Addr)
					p.noteSent(ctx, err)
				})
				continue
			}
			buffers[replies] = reply
			out[replies].Buffers[0], out[replies].Addr, reports[replies] = reply, m.Addr, report
			replies++
		}
		p.writeBatch(ctx, b, out[:replies])
		for _, report := range reports[:replies] {
			p.tell("udp", began, report)
		}
	}
}

// writeBatch sends all messages. One that cannot be sent keeps none of the others
// back.
func (p *proxy) writeBatch(ctx context.Context, b batcher, ms []ipv4.Message) {
	for len(ms) > 0 {
		n, err := b.WriteBatch(ms, 0)
		if err != nil || n == 0 {
			p.noteSent(ctx, err)
			n = 1
		}
		ms = ms[n:]
	}
}

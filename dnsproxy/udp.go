package dnsproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/miekg/dns"
)

// receiveBuffer is asked of the kernel for each UDP socket, for the burst of
// queries with which an application starts. Linux gives no more than
// net.core.rmem_max, 208 KiB unless set otherwise.
const receiveBuffer = 1 << 20

// A packetReader reads one datagram and returns how to answer it.
type packetReader func(buf []byte) (n int, reply func([]byte) error, err error)

// serveSocket answers the datagrams of one socket until that is closed or ctx
// ends. One goroutine reads: Go lets one read at a time anyway, and with two that
// take turns an own answer cost a third more CPU. A refusal of the larger buffer
// only means that more of a burst is lost.
func (p *proxy) serveSocket(ctx context.Context, pc net.PacketConn) error {
	if b, ok := pc.(interface{ SetReadBuffer(int) error }); ok {
		b.SetReadBuffer(receiveBuffer)
	}
	if conn, ok := pc.(*net.UDPConn); ok && !isWildcard(conn) {
		return p.readBatches(ctx, conn)
	}
	return p.readPackets(ctx, pc, readerOf(pc))
}

// readPackets answers the datagrams of any socket, one by one.
func (p *proxy) readPackets(ctx context.Context, pc net.PacketConn, read packetReader) error {
	buf, out := make([]byte, 1<<16), make([]byte, 0, largestRemembered)
	var q query
	var scratch [300]byte
	for {
		n, reply, err := read(buf)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("dnsproxy: reading from %v: %w", pc.LocalAddr(), err)
		}
		if err != nil {
			p.pauseAfter(ctx, err)
			continue
		}
		began := time.Now()
		if !q.parse(buf[:n]) {
			p.dropped(dropped(buf[:n]))
			continue
		}
		send := func(msg []byte) { p.noteSent(ctx, reply(msg)) }
		msg, report, key := p.known(out[:0], &q, "udp", began, scratch[:0])
		if msg == nil {
			p.request(ctx, p.flying, "udp", q.clone(), key, began, send)
			continue
		}
		send(msg)
		p.tell("udp", began, report)
	}
}

// pauseAfter waits until an error of a socket may have passed: the kernel is short
// of memory, or reports what became of an earlier reply.
func (p *proxy) pauseAfter(ctx context.Context, err error) {
	p.log.LogAttrs(ctx, slog.LevelDebug, "DNS socket failed to read", slog.Any("error", err))
	sleep(ctx, 10*time.Millisecond)
}

func (p *proxy) noteSent(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		p.log.LogAttrs(ctx, slog.LevelDebug, "DNS reply was not sent", slog.Any("error", err))
	}
}

// readerOf returns the reader for a socket. On one that is bound to a wildcard
// address the kernel would choose the source of a reply by the route back, and a
// client that asked another of our addresses would not take it.
func readerOf(pc net.PacketConn) packetReader {
	if conn, ok := pc.(*net.UDPConn); ok && isWildcard(conn) && reportDestination(conn) {
		return func(buf []byte) (int, func([]byte) error, error) {
			n, session, err := dns.ReadFromSessionUDP(conn, buf)
			return n, func(msg []byte) error {
				_, err := dns.WriteToSessionUDP(conn, msg, session)
				return err
			}, err
		}
	}
	return func(buf []byte) (int, func([]byte) error, error) {
		n, from, err := pc.ReadFrom(buf)
		return n, func(msg []byte) error {
			_, err := pc.WriteTo(msg, from)
			return err
		}, err
	}
}

func isWildcard(conn *net.UDPConn) bool {
	addr, ok := conn.LocalAddr().(*net.UDPAddr)
	return ok && addr.IP.IsUnspecified()
}

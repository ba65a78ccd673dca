package dnsproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// maxTCPConns bounds the client connections open at once (visitors).
	maxTCPConns = 256

	// tcpIdle is how long a client may take to send its next message whole, and
	// to take a reply. RFC 7766 section 6.2.3 asks for seconds. It is longer
	// than budget, so no connection ends before its queries are answered.
	tcpIdle = 10 * time.Second

	// maxPipelined bounds the forwarded queries of one connection; then it is not
	// read until a reply has been taken. All connections together stay below what
	// may wait for upstreams.
	maxPipelined = 32
)

// serveListener serves the connections of one listener until that fails or
// ctx ends.
func (p *proxy) serveListener(ctx context.Context, ln net.Listener) error {
	for {
		conn, err := p.accept(ctx, ln)
		if err != nil {
			return fmt.Errorf("dnsproxy: accepting on %v: %w", ln.Addr(), err)
		}
		visit := p.visitors.enter(conn)
		p.flying.Go(func() {
			defer p.panicked.raise()
			p.serveConn(ctx, conn, visit)
		})
	}
}

// accept waits for the next connection. It tries again, ever more slowly,
// while the process is short of descriptors or memory.
func (p *proxy) accept(ctx context.Context, ln net.Listener) (net.Conn, error) {
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		conn, err := ln.Accept()
		if err == nil || ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		p.deaf.tell(ctx, p.log, "DNS connection was not accepted",
			slog.Any("error", err), slog.Duration("retry_in", delay))
		if !sleep(ctx, delay) {
			return nil, err
		}
	}
}

// serveConn answers the queries of one connection, each as soon as it can be
// (RFC 7766 section 6.2.1.1). When the client has no more to ask it still gets
// the replies that are due.
func (p *proxy) serveConn(ctx context.Context, conn net.Conn, visit visitor) {
	defer conn.Close()
	defer visit.leave()
	stop := context.AfterFunc(ctx, func() {
		defer p.panicked.raise()
		conn.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer p.panicked.raise() // before anything is waited for
	var writing sync.Mutex
	send := func(reply []byte) {
		writing.Lock()
		defer writing.Unlock()
		conn.SetWriteDeadline(time.Now().Add(tcpIdle))
		if err := writeMessage(conn, reply); err != nil {
			conn.Close() // a message cut short leaves nothing to go on with
		}
	}
	slots := make(chan struct{}, maxPipelined)
	sendOne := func(reply []byte) {
		send(reply)
		<-slots
	}
	for {
		conn.SetReadDeadline(time.Now().Add(tcpIdle))
		raw, err := readMessage(conn)
		if err != nil {
			return
		}
		visit.spoke()
		q, began := parseQuery(raw), time.Now()
		if q == nil {
			p.dropped(dropped(raw))
			continue
		}
		reply, report, key := p.known(nil, q, "tcp", began, nil)
		if reply == nil {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			p.request(ctx, &wg, "tcp", q, key, began, sendOne)
			continue
		}
		send(reply)
		p.tell("tcp", began, report)
	}
}

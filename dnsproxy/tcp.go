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
	// maxTCPClients bounds the client connections open at once, as tcpClients does it.
	maxTCPClients = 256

	// tcpIdle is how long a client may take to send its next message whole, and
	// to take a reply. RFC 7766 section 6.2.3 asks for seconds. It is longer
	// than budget, so no connection ends before its queries are answered.
	tcpIdle = 10 * time.Second

	// maxPipelined bounds the forwarded queries of one connection; then it is not
	// read until a reply has been taken. All connections together stay below what
	// may wait for upstreams.
	maxPipelined = 32
)

// serveTCP serves the connections of one listener until that fails or ctx ends.
func (p *proxy) serveTCP(ctx context.Context, ln net.Listener) error {
	for {
		conn, err := p.accept(ctx, ln)
		if err != nil {
			return fmt.Errorf("dnsproxy: accepting on %v: %w", ln.Addr(), err)
		}
		client := p.tcpClients.add(conn)
		p.goroutines.Go(p.guarded(func() { p.serveConn(ctx, conn, client) }))
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
		if p.acceptFailing.allow() {
			p.log.LogAttrs(ctx, slog.LevelWarn, "DNS accept failed, retrying",
				slog.Any("error", err), slog.Duration("retry_in", delay))
		}
		if !sleep(ctx, delay) {
			return nil, err
		}
	}
}

// serveConn answers the queries of one connection, each as soon as it can be
// (RFC 7766 section 6.2.1.1). When the client has no more to ask it still gets
// the replies that are due.
func (p *proxy) serveConn(ctx context.Context, conn net.Conn, client tcpClient) {
	defer conn.Close()
	defer client.remove()
	stop := context.AfterFunc(ctx, p.guarded(func() { conn.Close() }))
	defer stop()
	var due sync.WaitGroup
	t := &tcpTransport{conn: conn, client: client, slots: make(chan struct{}, maxPipelined)}
	p.guarded(func() { _ = p.serveClients(ctx, t, &due) })() // a panic must not wait for what is due
	due.Wait()
}

// A tcpTransport is the [transport] of one connection, which brings one message at
// a time.
type tcpTransport struct {
	conn     net.Conn
	client   tcpClient
	received []byte
	queued   []byte        // the reply to be sent; nil if there is none
	slots    chan struct{} // one element for each forwarded query

	writing sync.Mutex
}

func (t *tcpTransport) network() string { return "tcp" }

func (t *tcpTransport) receive(context.Context) (n int, err error) {
	t.conn.SetReadDeadline(time.Now().Add(tcpIdle))
	t.received, err = readMessage(t.conn)
	if err != nil {
		return 0, err
	}
	t.client.noteMessage()
	return 1, nil
}

func (t *tcpTransport) message(int) []byte { return t.received }

func (t *tcpTransport) reply(_ int, reply []byte) { t.queued = reply }

func (t *tcpTransport) flush(context.Context) {
	if t.queued != nil {
		t.send(t.queued)
		t.queued = nil
	}
}

func (t *tcpTransport) sender(ctx context.Context, _ int) func(reply []byte) {
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	return func(reply []byte) {
		t.send(reply)
		<-t.slots
	}
}

// send writes a reply while no other is written.
func (t *tcpTransport) send(reply []byte) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.conn.SetWriteDeadline(time.Now().Add(tcpIdle))
	if err := writeMessage(t.conn, reply); err != nil {
		t.conn.Close() // a message cut short leaves nothing to go on with
	}
}

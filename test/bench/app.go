package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The app's half of what target.go serves.

// patience is what the app gives any connection, so that one that hangs is an
// error and no hang. Nothing measured takes nearly as long.
const patience = 2 * time.Minute

// open connects to address and chooses what the target does. It returns when
// the target has answered, so the whole way is open.
func open(ctx context.Context, address string, op byte) (*net.TCPConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	if err := greet(tcp, op); err != nil {
		tcp.Close()
		return nil, fmt.Errorf("first byte: %w", err)
	}
	return tcp, nil
}

func greet(conn *net.TCPConn, op byte) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	b := []byte{op}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, b)
	return err
}

// openAll opens n connections, some at once. Its error is the first; what was
// opened is returned nevertheless, and is the caller's to close.
func openAll(ctx context.Context, address string, op byte, n int) ([]*net.TCPConn, error) {
	const atOnce = 16
	conns := make([]*net.TCPConn, n)
	err := each(n, atOnce, func(i int) (err error) {
		conns[i], err = open(ctx, address, op)
		return err
	})
	return conns, err
}

// closeAll resets what openAll opened, since nobody waits for its end any more:
// that leaves no port in TIME_WAIT.
func closeAll(conns []*net.TCPConn) {
	for _, conn := range conns {
		if conn != nil {
			_ = conn.SetLinger(0) // it may be broken already
			conn.Close()
		}
	}
}

// each calls do for 0 to n-1, from several goroutines at once, until one call
// fails, and returns the first error.
func each(n, atOnce int, do func(i int) error) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		next  int
		first error
	)
	take := func(err error) (i int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
		next++
		return next - 1, first == nil && next <= n
	}
	for range min(n, atOnce) {
		wg.Go(func() {
			for i, ok := take(nil); ok; {
				i, ok = take(do(i))
			}
		})
	}
	wg.Wait()
	return first
}

func appendLength(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func appendSum(b []byte, sum uint32) []byte { return binary.BigEndian.AppendUint32(b, sum) }

func readLength(r io.Reader) (int64, error) {
	var b [8]byte
	_, err := io.ReadFull(r, b[:])
	return int64(binary.BigEndian.Uint64(b[:])), err
}

func readSum(r io.Reader) (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(r, b[:])
	return binary.BigEndian.Uint32(b[:]), err
}

// upload sends n bytes to a sink that was opened and compares what arrived.
func upload(conn net.Conn, p *payload, n int64) error {
	if _, err := conn.Write(appendLength(nil, n)); err != nil {
		return err
	}
	sum, err := p.send(conn, p.somewhere(), n)
	if err != nil {
		return err
	}
	arrived, err := readLength(conn)
	if err != nil {
		return err
	}
	arrivedSum, err := readSum(conn)
	if err != nil {
		return err
	}
	if arrived != n || arrivedSum != sum {
		return fmt.Errorf("%w: sent %d bytes with %08x, %d arrived with %08x", errChecksum, n, sum, arrived, arrivedSum)
	}
	return nil
}

// download takes n bytes from a source that was opened and compares them with
// what was sent, and the first ones with what was asked for.
func download(conn net.Conn, p *payload, n int64) error {
	start := p.somewhere()
	if _, err := conn.Write(appendLength(appendLength(nil, start), n)); err != nil {
		return err
	}
	first := make([]byte, min(n, 64, payloadSize-start))
	if _, err := io.ReadFull(conn, first); err != nil {
		return err
	}
	if !bytes.Equal(first, p.block[start:][:len(first)]) {
		return fmt.Errorf("%w: the stream begins like another one", errChecksum)
	}
	sum, err := receive(io.MultiReader(bytes.NewReader(first), conn), n, make([]byte, readSize))
	if err != nil {
		return err
	}
	sent, err := readSum(conn)
	if err != nil {
		return err
	}
	if sum != sent {
		return fmt.Errorf("%w: %d bytes were sent with %08x and arrived with %08x", errChecksum, n, sent, sum)
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// delay is a TCP proxy that makes the way long and nothing else: each direction
// is a queue of bytes and the time at which they are due.
//
// A TCP handshake takes a round trip, but here the kernel accepts at once. So
// the bytes of a new connection are held at its near end for a round trip, as
// they would be had the handshake taken it.
type delay struct {
	next   string        // where the way leads
	oneWay time.Duration // what every byte takes
}

// playDelay is given the address it leads to and the time of one way.
func playDelay(args []string) error {
	oneWay, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	ln, err := openPort()
	if err != nil {
		return err
	}
	listening(ln)
	return delay{args[0], oneWay}.serve(ln)
}

// serve owns ln.
func (d delay) serve(ln net.Listener) error {
	return acceptAll(ln, func(near *net.TCPConn) {
		open := time.Now().Add(2 * d.oneWay)
		conn, err := net.Dial("tcp", d.next)
		if err != nil {
			fmt.Fprintln(os.Stderr, "delay:", err)
			return
		}
		far := conn.(*net.TCPConn)
		defer far.Close()
		var wg sync.WaitGroup
		wg.Go(func() { d.carry(far, near, open) })
		wg.Go(func() { d.carry(near, far, time.Time{}) })
		wg.Wait()
	})
}

// piece is what one read returned.
type piece struct {
	due  time.Time // at the other end
	data []byte
	err  error // io.EOF, or what broke the connection; the last piece has one
}

// queued bounds a direction: at 64 KiB a piece far more than a round trip of
// loopback's bandwidth, so that the queue itself slows nothing.
const queued = 4096

// carry takes the bytes of src to dst, and its end: an end of stream as one, a
// failure as a reset. Nothing leaves before open.
func (d delay) carry(dst, src *net.TCPConn, open time.Time) {
	pieces := make(chan piece, queued)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer close(pieces)
		buf := make([]byte, 64<<10)
		for {
			n, err := src.Read(buf)
			sent := time.Now()
			if sent.Before(open) {
				sent = open
			}
			pieces <- piece{sent.Add(d.oneWay), append([]byte(nil), buf[:n]...), err}
			if err != nil {
				return
			}
		}
	})
	broken := false
	for p := range pieces {
		if broken {
			continue // so that the reader comes to its end
		}
		sleepUntil(p.due)
		if _, err := dst.Write(p.data); err != nil {
			// dst's own direction tells src.
			broken = true
			continue
		}
		switch {
		case errors.Is(p.err, io.EOF):
			_ = dst.CloseWrite() // dst may be gone
		case p.err != nil:
			_ = dst.SetLinger(0)
			_ = dst.Close()
		}
	}
}

// sleepUntil is time.Sleep without the third of a millisecond by which that is
// late: twice in every round trip, it would be two per cent of it.
func sleepUntil(due time.Time) {
	time.Sleep(time.Until(due) - time.Millisecond)
	for time.Now().Before(due) {
		runtime.Gosched()
	}
}

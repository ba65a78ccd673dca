package soak_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// side is an app or a target at work on its end of a connection.
type side struct {
	script
	conn      *net.TCPConn
	out, in   io.Reader // the content of the two directions
	theirs    int64     // bytes that the other side is to send
	sendRand  *rand.Rand
	half      half
	received  atomic.Int64
	some, all chan struct{} // closed when the first byte, or all of theirs, have been received
	over      chan struct{} // closed when nothing more will be received
	done      chan struct{} // closed when nothing more will be sent
	given     chan struct{} // closed by giveUp
	giveOnce  sync.Once
}

func newSide(conn *net.TCPConn, s script, theirs int64, out, in io.Reader, random *rand.Rand) *side {
	x := &side{
		script: s, conn: conn, theirs: theirs, out: out, in: in, sendRand: random,
		half: half{size: s.size, ended: notEnded, wrongAt: -1, saw: nothing, begunAt: time.Now()},
		some: make(chan struct{}), all: make(chan struct{}), over: make(chan struct{}), done: make(chan struct{}), given: make(chan struct{}),
	}
	if theirs == 0 {
		close(x.all)
	}
	return x
}

// work plays the script to its end, closes the connection and returns what came
// of it.
func (x *side) work() half {
	var sending sync.WaitGroup
	sending.Go(x.send)
	x.receive()
	sending.Wait()
	x.conn.Close()
	// Linux tells one caller alone of a reset. When that was the writer, the
	// reader was shown an end of stream.
	if x.half.saw == endOfStream && errors.Is(x.half.writeErr, syscall.ECONNRESET) {
		x.half.saw = breakage
	}
	return x.half
}

// giveUp ends a side that waits for what will not come.
func (x *side) giveUp() {
	x.giveOnce.Do(func() {
		close(x.given)
		_ = x.conn.SetDeadline(time.Unix(1, 0)) // fails where it has ended by itself
	})
}

func (x *side) send() {
	defer close(x.done)
	if !x.begin() {
		return
	}
	size := x.size
	if x.end == reset {
		size = x.resetAt
	}
	pauses := x.pauses
	buf := make([]byte, x.chunk)
	for x.half.sent < size {
		most := size - x.half.sent
		if held := x.size / 2; x.holdBack && x.half.sent <= held {
			if most = held - x.half.sent; most == 0 {
				if !x.wait(x.over) {
					return
				}
				most = size - x.half.sent
			}
		}
		piece := buf[:min(most, 1+x.sendRand.Int64N(int64(len(buf))))]
		_, _ = io.ReadFull(x.out, piece) // content never ends
		n, err := x.conn.Write(piece)
		x.half.sent += int64(n)
		if err != nil {
			x.half.ended, x.half.writeErr = failing, err
			return
		}
		if x.quietAt > 0 && x.half.sent >= x.quietAt {
			x.quietAt = 0
			x.pause(quiet)
		}
		if pauses > 0 && x.sendRand.IntN(4) == 0 {
			pauses--
			x.pause(time.Duration(x.sendRand.IntN(300)) * time.Millisecond)
		}
	}
	x.finish()
}

// begin waits until it is this side's turn; false means that it never will be.
func (x *side) begin() bool {
	switch x.start {
	case afterSome:
		return x.wait(x.some)
	case afterAll:
		return x.wait(x.all)
	case afterEnd:
		return x.wait(x.over)
	}
	return true
}

// finish ends this side's direction, or all of the connection.
func (x *side) finish() {
	switch x.end {
	case halfClose:
		x.closeWrite()
		if x.countsBytes && x.wait(x.all) {
			x.close()
		}
	case halfCloseLate:
		if x.wait(x.all) {
			x.closeWrite()
		}
	case halfCloseAfterTheirs:
		if x.wait(x.over) {
			x.closeWrite()
		}
	case closeLate:
		if x.wait(x.all) {
			x.close()
		}
	case closeEarly:
		x.close()
	case reset:
		x.half.ended = byReset
		_ = x.conn.SetLinger(0) // fails where it has ended by itself
		x.conn.Close()
	}
}

func (x *side) closeWrite() {
	x.half.ended, x.half.first = inOrder, !x.isOver()
	if err := x.conn.CloseWrite(); err != nil {
		x.half.ended, x.half.writeErr = failing, err
	}
}

func (x *side) close() {
	if x.half.ended == notEnded {
		x.half.ended, x.half.first = abruptly, !x.isOver()
		if x.received.Load() >= x.theirs || x.sawEnd() {
			x.half.ended = inOrder
		}
	}
	x.half.closedAt = time.Now()
	x.conn.Close()
}

// wait waits for something received, or for an end of stream in its place; false
// means that the connection has broken.
func (x *side) wait(happened <-chan struct{}) bool {
	select {
	case <-happened:
	case <-x.over:
	case <-x.given:
		return false
	}
	return !x.isOver() || x.sawEnd()
}

func (x *side) isOver() bool {
	select {
	case <-x.over:
		return true
	default:
		return false
	}
}

func (x *side) sawEnd() bool { return x.isOver() && x.half.saw == endOfStream }

func (x *side) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.given:
	}
}

// slowReads is how many pauses a slow reader makes, of slowPause each.
const (
	slowReads = 20
	slowPause = 100 * time.Millisecond
)

func (x *side) receive() {
	defer close(x.over)
	if x.deaf {
		<-x.done
		return
	}
	h := &x.half
	buf, scratch := make([]byte, 64<<10), make([]byte, 64<<10)
	if x.slow {
		buf = buf[:min(int64(len(buf)), 1+x.theirs/slowReads)]
	}
	for {
		if x.slow {
			x.pause(slowPause)
		}
		n, err := x.conn.Read(buf)
		if n > 0 {
			if i := firstWrong(buf[:n], x.in, scratch); i >= 0 && h.wrongAt < 0 {
				h.wrongAt = h.got + int64(i)
			}
			x.count(n)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			h.saw, h.heardAt = endOfStream, time.Now()
		case errors.Is(err, net.ErrClosed): // by our own side
		case errors.Is(err, os.ErrDeadlineExceeded):
			h.saw, h.readErr = silence, err
		default:
			h.saw, h.readErr, h.heardAt = breakage, err, time.Now()
		}
		return
	}
}

func (x *side) count(n int) {
	h := &x.half
	if h.got == 0 {
		close(x.some)
	}
	before := h.got
	h.got += int64(n)
	h.heardAt = time.Now()
	x.received.Store(h.got)
	if before < x.theirs && h.got >= x.theirs {
		close(x.all)
	}
}

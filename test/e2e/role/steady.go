//go:build linux

package role

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// playSteady is an app that never stops working: WORKERS threads with short
// exchanges and as many with long ones, each of a new connection to a digest
// server, looked up by its name. On stdin it is told to "pause", after which it
// finishes what is open and prints "paused", to "resume", and to "end". In the end
// it prints how many came to which end, and before that a line for each that did
// not come to a good one:
//
//	truncated BEGAN ENDED   an end of stream before all had arrived: a lie
//	reset BEGAN ENDED       a reset before all had arrived
//	refused BEGAN ENDED     no connection, or no such name
//
// BEGAN and ENDED are Unix milliseconds.
func playSteady(args []string) error {
	var workers int
	if _, err := fmt.Sscan(args[0], &workers); err != nil {
		return err
	}
	s := steady{address: args[1], ends: make(map[string]int)}
	s.gate.Lock() // until the first word
	var threads sync.WaitGroup
	for i := range workers {
		threads.Go(func() { s.work(byte(i), 16<<10, 0) })
		threads.Go(func() { s.work(byte(i), 1<<20, 25*time.Millisecond) }) // 1.6 s at least
	}
	words := bufio.NewScanner(os.Stdin)
	for open := false; words.Scan(); {
		switch word := words.Text(); {
		case word == "resume" && !open:
			s.gate.Unlock()
			open = true
			fmt.Println("resumed")
		case word == "pause" && open:
			s.gate.Lock() // when nobody works
			open = false
			fmt.Println("paused")
		case word == "end":
			s.over.Store(true)
			if !open {
				s.gate.Unlock()
			}
			threads.Wait()
			fmt.Println("ends:", s.ends)
			return nil
		}
	}
	return words.Err()
}

type steady struct {
	address string
	gate    sync.RWMutex // read by those who work
	over    atomic.Bool

	mu   sync.Mutex
	ends map[string]int
}

func (s *steady) work(seed byte, size int64, pace time.Duration) {
	kind := "short"
	if pace > 0 {
		kind = "long"
	}
	for !s.over.Load() {
		s.gate.RLock()
		began := time.Now()
		end := verdictOf(s.once(seed, size, pace))
		s.gate.RUnlock()
		s.mu.Lock()
		s.ends[kind+" "+end]++
		if end != "complete" {
			fmt.Println(end, began.UnixMilli(), time.Now().UnixMilli())
		}
		s.mu.Unlock()
		if end == "refused" { // as an app waits that is not mad
			<-time.After(50 * time.Millisecond)
		}
	}
}

// errNoConnection is a failure before there was a connection.
var errNoConnection = errors.New("no connection")

// once is one exchange. What the server sends is checked to the last byte, so
// that the end of the stream can come at the end only.
func (s *steady) once(seed byte, size int64, pace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp4", s.address)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoConnection, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return err
	}
	if pace == 0 {
		return exchange(conn, seed, size)
	}
	return exchange(&paced{conn, pace}, seed, size)
}

// paced is a connection whose writes are small and take their time.
type paced struct {
	net.Conn
	pace time.Duration
}

func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		<-time.After(p.pace)
		var m int
		m, err = p.Conn.Write(b[:min(len(b), 16<<10)])
		n, b = n+m, b[m:]
	}
	return n, err
}

func verdictOf(err error) string {
	switch {
	case err == nil:
		return "complete"
	case errors.Is(err, errNoConnection):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "truncated"
	}
	return "odd (" + strings.ReplaceAll(err.Error(), " ", "_") + ")"
}

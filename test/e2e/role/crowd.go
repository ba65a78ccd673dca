//go:build linux

package role

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// playCrowd is COUNT apps, so many AT ONCE, which do VERB with the addresses in
// turn. It prints how many came to which end, and fails when one came to an end that is
// not in this list.
//
//	echo      sends a byte, waits for its return, closes: "echoed"
//	hold      sends a byte, waits for its return, closes when told by a line on stdin: "echoed", or "reset"
//	ask       sends a request, half-closes, takes the answer of a late server: "answered"
//	abandon   sends a request and, when told, closes fully: "left"
//	exchange  sends and takes Pattern(0) until the connection breaks: "reset"
//
// It prints "all open" when each app has sent its request or, with hold and
// exchange, has received something.
func playCrowd(args []string) error {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	atOnce, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	c := crowd{count: int64(count), told: make(chan struct{}), ends: make(map[string]int)}
	do, ok := map[string]func(*net.TCPConn) (string, error){
		"echo": c.echo, "hold": c.hold, "ask": c.ask, "abandon": c.abandon, "exchange": c.exchange,
	}[args[0]]
	if !ok {
		return errors.New("no such verb")
	}
	go func() {
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err == nil {
			close(c.told)
		}
	}()
	addresses := args[3:]
	places := make(chan struct{}, atOnce)
	var apps sync.WaitGroup
	for i := range count {
		places <- struct{}{}
		apps.Go(func() {
			defer func() { <-places }()
			c.note(c.one(addresses[i%len(addresses)], do))
		})
	}
	apps.Wait()
	fmt.Println("ends:", c.ends)
	return errors.Join(c.errs...)
}

// crowd is the apps together.
type crowd struct {
	count int64
	open  atomic.Int64
	told  chan struct{} // closed by a line on stdin

	mu   sync.Mutex
	ends map[string]int
	errs []error // the first few
}

func (c *crowd) one(address string, do func(*net.TCPConn) (string, error)) (string, error) {
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	end, err := do(conn.(*net.TCPConn))
	if err != nil {
		return "", fmt.Errorf("%s to %s: %w", conn.LocalAddr(), address, err)
	}
	return end, nil
}

func (c *crowd) note(end string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.ends[end]++
	case len(c.errs) < 5:
		c.ends["failed"]++
		c.errs = append(c.errs, err)
	default:
		c.ends["failed"]++
	}
}

func (c *crowd) echo(conn *net.TCPConn) (string, error) {
	one := []byte{'1'}
	if _, err := conn.Write(one); err != nil {
		return "", err
	}
	_, err := io.ReadFull(conn, one)
	return "echoed", err
}

func (c *crowd) hold(conn *net.TCPConn) (string, error) {
	end, err := c.echo(conn)
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "reset", nil
	case err != nil:
		return "", err
	}
	c.opened()
	<-c.told
	return end, nil
}

const request = "GET / HTTP/1.0\r\n\r\n"

// AnswerSize is how many bytes the apps that ask want of a late server.
const AnswerSize = 10_000

func (c *crowd) ask(conn *net.TCPConn) (string, error) {
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	if err := conn.CloseWrite(); err != nil {
		return "", err
	}
	c.opened()
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	body, ok := bytes.CutPrefix(answer, []byte("HTTP/1.0 200 OK\r\n\r\n"))
	if !ok || Sum(body) != PatternSum(0, AnswerSize) {
		return "", fmt.Errorf("%d bytes came that are not the answer", len(answer))
	}
	return "answered", nil
}

func (c *crowd) abandon(conn *net.TCPConn) (string, error) {
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	c.opened()
	<-c.told
	return "left", nil
}

func (c *crowd) exchange(conn *net.TCPConn) (string, error) {
	sent := make(chan error, 1)
	go func() {
		sent <- trickle(conn)
	}()
	n, err := compare(conn, Pattern(0), sync.OnceFunc(c.opened))
	conn.Close()
	// Linux tells one caller alone of a reset; the other one may be shown an end.
	if sendErr := <-sent; errors.Is(err, syscall.ECONNRESET) || errors.Is(sendErr, syscall.ECONNRESET) {
		return "reset", nil
	}
	return "", fmt.Errorf("after %d bytes: %w", n, err)
}

// trickle sends Pattern(0) until that fails, 200 KB a second, so that many can do it
// at once on a small machine.
func trickle(conn net.Conn) error {
	content := Pattern(0)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.CopyN(conn, content, 4<<10); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) opened() {
	if c.open.Add(1) == c.count {
		fmt.Println("all open")
	}
}

// compare reads r until it fails or differs from want; some is called when
// something has come.
func compare(r, want io.Reader, some func()) (n int64, err error) {
	got, wanted := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		m, err := r.Read(got)
		_, _ = io.ReadFull(want, wanted[:m]) // it has no end
		if !bytes.Equal(got[:m], wanted[:m]) {
			return n, errors.New("these are not the bytes that were sent")
		}
		n += int64(m)
		if m > 0 {
			some()
		}
		if err != nil {
			return n, err
		}
	}
}

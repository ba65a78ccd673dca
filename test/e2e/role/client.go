//go:build linux

package role

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// playClient is an app that does what it is told on stdin, a line a step, and
// answers each with one line: what it saw, in the terms an app sees it in.
//
//	from PORT          ok; the next dial is from this port, which others may use as well
//	dial HOST:PORT     ok
//	attempt HOST:PORT  dial and readall in one, for what may be reset before dial has returned; EOF SIZE SHA-256
//	write TEXT         ok; a line break is added
//	send SIZE          sent SIZE SHA-256, of Pattern(0)
//	line               the next line received
//	read SIZE          read SIZE SHA-256
//	readall            EOF SIZE SHA-256
//	closewrite         ok
//	close, reset       ok
//
// What fails is answered by the name of the error and the bytes it had.
func playClient(in io.Reader, out io.Writer) error {
	var conn *net.TCPConn
	var dialer net.Dialer
	var buffered *bufio.Reader
	steps := bufio.NewScanner(in)
	for steps.Scan() {
		verb, arg, _ := strings.Cut(steps.Text(), " ")
		size, _ := strconv.ParseInt(arg, 10, 64) // for the verbs that have one
		var n int64
		var err error
		hash := sha256.New()
		saw := "ok"
		switch verb {
		case "from":
			dialer.LocalAddr = &net.TCPAddr{Port: int(size)}
			dialer.Control = func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
			}
		case "dial", "attempt":
			var c net.Conn
			if c, err = dialer.Dial("tcp", arg); err == nil {
				conn = c.(*net.TCPConn)
				buffered = bufio.NewReader(conn)
			}
			if err == nil && verb == "attempt" {
				n, err = io.Copy(hash, buffered)
				saw = fmt.Sprintf("EOF %d %x", n, hash.Sum(nil))
			}
		case "write":
			_, err = io.WriteString(conn, arg+"\n")
		case "send":
			n, err = io.CopyN(conn, io.TeeReader(Pattern(0), hash), size)
			saw = fmt.Sprintf("sent %d %x", n, hash.Sum(nil))
		case "line":
			saw, err = buffered.ReadString('\n')
			saw = strings.TrimSpace(saw)
		case "read":
			n, err = io.CopyN(hash, buffered, size)
			saw = fmt.Sprintf("read %d %x", n, hash.Sum(nil))
		case "readall":
			n, err = io.Copy(hash, buffered)
			saw = fmt.Sprintf("EOF %d %x", n, hash.Sum(nil))
		case "closewrite":
			err = conn.CloseWrite()
		case "close":
			err = conn.Close()
		case "reset":
			err = errors.Join(conn.SetLinger(0), conn.Close())
		default:
			err = errors.New("no such verb")
		}
		if err != nil {
			saw = fmt.Sprintf("%s after %d bytes", errorName(err), n)
		}
		if _, err := fmt.Fprintln(out, saw); err != nil {
			return err
		}
	}
	return steps.Err()
}

// errorName is what the C library calls it, where it has a name.
func errorName(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, syscall.ECONNRESET):
		return "ECONNRESET"
	case errors.Is(err, syscall.EPIPE):
		return "EPIPE"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "ECONNREFUSED"
	default:
		return strings.ReplaceAll(err.Error(), "\n", " ")
	}
}

//go:build linux

package role

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

// playFlow is one end of a stream that shows how far it got. Its arguments are
// "dial" or "listen", an address and, for send, a size.
//
// send sends so many bytes of Pattern(0), and prints "sent N" after each MiB. take
// reads nothing before it is told a line on stdin, then prints "took SIZE SHA-256".
func playFlow(role string, args []string) error {
	conn, err := meet(args[0], args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	if role == "take" {
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		hash := sha256.New()
		n, err := io.Copy(hash, conn)
		fmt.Printf("took %d %x\n", n, hash.Sum(nil))
		return err
	}
	size, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	for rest, n := Pattern(0), int64(0); n < size; {
		m, err := io.CopyN(conn, rest, min(size-n, 1<<20))
		if err != nil {
			return err
		}
		n += m
		fmt.Println("sent", n)
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// meet is the app's connection, or the first one to a server.
func meet(how, address string) (*net.TCPConn, error) {
	if how == "dial" {
		conn, err := net.Dial("tcp4", address)
		if err != nil {
			return nil, err
		}
		return conn.(*net.TCPConn), nil
	}
	ln, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	listening(ln)
	conn, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return tcp, nil
	}
	return nil, errors.New("not TCP")
}

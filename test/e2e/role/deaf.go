//go:build linux

package role

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// playDeaf is COUNT clients of an HTTP server that ask for PATH again and again,
// and never read. It prints "asked" when no more can be sent for a second, or when
// the server has hung up.
func playDeaf(args []string) error {
	address, path := args[0], args[2]
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	request := "GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n"
	var clients sync.WaitGroup
	errs := make([]error, count)
	for i := range count {
		clients.Go(func() {
			conn, err := net.Dial("tcp4", address)
			if err != nil {
				errs[i] = err
				return
			}
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			for err == nil { // conn stays open to the process's end
				_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
				_, err = io.WriteString(conn, strings.Repeat(request, 50))
			}
		})
	}
	clients.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("asked")
	select {}
}

//go:build linux

package role

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// playLoad opens COUNT connections to digest servers, waits until all of them
// have been greeted, moves SIZE bytes each way over each at once, and compares
// both checksums. It fails with every connection that went wrong.
func playLoad(args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	addresses := args[2:]

	conns := make([]net.Conn, count)
	errs := make([]error, count)
	each := func(do func(i int) error) {
		var wg sync.WaitGroup
		for i := range count {
			wg.Go(func() {
				if err := do(i); err != nil {
					errs[i] = fmt.Errorf("connection %d to %s: %w", i, addresses[i%len(addresses)], err)
				}
			})
		}
		wg.Wait()
	}
	each(func(i int) (err error) {
		if conns[i], err = net.Dial("tcp4", addresses[i%len(addresses)]); err != nil {
			return err
		}
		_, err = io.ReadFull(conns[i], make([]byte, 1))
		return err
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("all open")
	each(func(i int) error {
		defer conns[i].Close()
		return exchange(conns[i], byte(i), size)
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("all equal")
	return nil
}

// exchange is the client's half of digest.
func exchange(conn net.Conn, seed byte, size int64) error {
	header := append(binary.BigEndian.AppendUint64(nil, uint64(size)), seed)
	if _, err := conn.Write(header); err != nil {
		return err
	}
	sent := make(chan error, 1)
	sentSum := sha256.New()
	go func() {
		_, err := io.CopyN(conn, io.TeeReader(Pattern(seed), sentSum), size)
		sent <- err
	}()
	got := sha256.New()
	_, err := io.CopyN(got, conn, size)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	theirs := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, theirs); err != nil {
		return err
	}
	if !bytes.Equal(theirs, sentSum.Sum(nil)) {
		return errors.New("the server received something else")
	}
	if want := PatternSum(seed+1, size); fmt.Sprintf("%x", got.Sum(nil)) != want {
		return errors.New("the server sent something else")
	}
	return nil
}

package memnet_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"hyco-sidecar/test/memnet"
)

// dial is the two ends of a connection to a listener, which has been closed.
func dial() (dialled, accepted *memnet.Conn, err error) {
	ln := memnet.Listen()
	defer ln.Close()
	dialled, err = ln.Dial()
	if err != nil {
		return nil, nil, err
	}
	conn, err := ln.Accept()
	if err != nil {
		return nil, nil, err
	}
	return dialled, conn.(*memnet.Conn), nil
}

// TestConnsDoWhatEveryConnDoes has the checks of golang.org/x/net/nettest: data,
// deadlines, closing, and all methods at once.
func TestConnsDoWhatEveryConnDoes(t *testing.T) {
	for name, connect := range map[string]func() (a, b *memnet.Conn, err error){
		"Pipe": func() (a, b *memnet.Conn, err error) { a, b = memnet.Pipe(); return a, b, nil },
		"Dial": dial,
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b, err := connect()
				if err != nil {
					return nil, nil, nil, err
				}
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

func TestHalfCloseLeavesTheOtherDirectionOpen(t *testing.T) {
	a, b := memnet.Pipe()
	defer a.Close()
	defer b.Close()
	send(t, a, "question")
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
		t.Errorf("the peer read %q, %v", got, err)
	}
	if _, err := a.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing after CloseWrite: %v, want EPIPE", err)
	}
	send(t, b, "answer")
	b.Close()
	if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
		t.Errorf("this end read %q, %v", got, err)
	}
}

func TestCloseThatLosesDataIsAReset(t *testing.T) {
	for name, closing := range map[string]func(a, b *memnet.Conn){
		"UnreadData": func(a, b *memnet.Conn) { send(t, a, "nobody reads this") },
		"Linger":     func(a, b *memnet.Conn) { _ = b.SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := memnet.Pipe()
			defer a.Close()
			closing(a, b)
			b.Close()
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("reading: %v, want ECONNRESET", err)
			}
			if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("writing: %v, want ECONNRESET", err)
			}
		})
	}
}

// TestDeadlinesAreOfVirtualTime waits an hour for each read from an empty connection,
// and for each write to a full one.
func TestDeadlinesAreOfVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pipe()
		defer a.Close()
		defer b.Close()
		began := time.Now()
		for _, c := range []*memnet.Conn{a, b} {
			_ = c.SetDeadline(time.Now().Add(time.Hour)) // it cannot fail
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reading: %v", err)
			}
		}
		for _, c := range []*memnet.Conn{a, b} {
			_ = c.SetDeadline(time.Now().Add(time.Hour))
			if _, err := c.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("writing: %v", err)
			}
		}
		if took := time.Since(began); took != 4*time.Hour {
			t.Errorf("took %v, want 4h", took)
		}
	})
}

// TestDeadlineThatWasTakenBackIsNotMet takes it back at the moment at which it passes,
// when its timer may have fired already.
func TestDeadlineThatWasTakenBackIsNotMet(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			a, b := memnet.Pipe()
			defer a.Close()
			defer b.Close()
			_ = a.SetReadDeadline(time.Now().Add(time.Second))
			time.Sleep(time.Second)
			_ = a.SetReadDeadline(time.Time{})
			synctest.Wait()
			send(t, b, "x")
			if _, err := a.Read(make([]byte, 1)); err != nil {
				t.Fatalf("reading without a deadline: %v", err)
			}
		})
	}
}

func TestDialEndsWithTheListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := memnet.Listen()
		dialled := make(chan error)
		const more = 200 // than a listener keeps waiting
		for range more {
			go func() {
				conn, err := ln.Dial()
				if err == nil {
					_, err = conn.Read(make([]byte, 1))
				}
				dialled <- err
			}()
		}
		synctest.Wait()
		ln.Close()
		for range more {
			if err := <-dialled; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("got %v, want a reset or a refusal", err)
			}
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepting: %v", err)
		}
	})
}

func send(t *testing.T, c *memnet.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

package relayclient_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/memnet"
)

func TestLateFramesDoNotSpoilAnOrderlyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		far.Write(closeFrame(1000, "Shutdown"))
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		far.Write(frame(ws.OpPong, true, "")) // as the service does by the clock
		if _, err := conn.Write([]byte("tail")); err != nil {
			t.Fatal(err)
		}
		conn.CloseWrite()
		synctest.Wait()
		far.CloseWrite() // both Close frames have passed
		conn.Close()
		var got []string
		for {
			f, err := readFrame(far)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("the relay saw %v, want an ordinary end", err)
				}
				break
			}
			got = append(got, string(ws.UnmaskFrame(f).Payload))
		}
		if want := []string{"tail", "\x03\xe8Shutdown"}; !slices.Equal(got, want) {
			t.Errorf("the relay got %q, want %q", got, want)
		}
		far.Close()
	})
}

func TestRelayThatDoesNotCloseIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		far.Write(closeFrame(1000, ""))
		io.ReadAll(conn)
		conn.CloseWrite()
		began := time.Now()
		conn.Close()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Close took %v, want 2s", took)
		}
		far.Close()
	})
}

// chatty is a TLS connection whose reader has something to write as well, a key
// update or an alert, and holds the writer's lock while there is no room for it.
type chatty struct {
	*memnet.Conn
	writing chan struct{} // closed once that has ended
}

func (c *chatty) NetConn() net.Conn { return c.Conn }

func (c *chatty) Read([]byte) (int, error) {
	defer close(c.writing)
	_, err := c.Conn.Write(make([]byte, 1<<20))
	return 0, err
}

func (c *chatty) Close() error {
	<-c.writing
	return c.Conn.Close()
}

func TestCloseDoesNotWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		conn := relayclient.Upgraded(&chatty{near, make(chan struct{})}, 30*time.Second)
		conn.CloseWrite()
		go conn.Read(make([]byte, 1))
		synctest.Wait()
		began := time.Now()
		conn.Close()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Close took %v, want 2s", took)
		}
		far.Close()
	})
}

// TestCloseBesideCloseWriteIsBounded, whichever of them is first: the relay's end has
// come, and it does not close the connection.
func TestCloseBesideCloseWriteIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := range 500 {
			conn, far := upgraded(t)
			far.Write(closeFrame(1000, ""))
			io.ReadAll(conn)
			var ready, steps atomic.Int32
			together := func(later int) { // by so many steps
				for ready.Add(1); ready.Load() < 2; {
				}
				for range later {
					steps.Add(1)
				}
			}
			go func() { together(n % 64); conn.CloseWrite() }()
			closed := make(chan struct{})
			began := time.Now()
			go func() { together(20); conn.Close(); close(closed) }()
			select {
			case <-closed:
			case <-time.After(time.Hour):
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("round %d: Close took %v, want 2s at most", n, took)
			}
			far.Close()
			<-closed
		}
	})
}

func TestCloseWithoutCloseWriteBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		if _, err := conn.Write([]byte("half a")); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		f, err := readFrame(far)
		if err != nil || f.Header.OpCode != ws.OpBinary {
			t.Errorf("got %v, %v; want the data", f.Header, err)
		}
		if n, err := far.Read(make([]byte, 1)); n != 0 || errors.Is(err, io.EOF) {
			t.Errorf("then got %d bytes, %v; want a reset", n, err)
		}
		far.Close()
	})
}

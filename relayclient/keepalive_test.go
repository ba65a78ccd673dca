package relayclient_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/memnet"
)

// upgraded returns a Conn and the relay's end of its connection, in memory.
func upgraded(t *testing.T) (*relayclient.Conn, *memnet.Conn) {
	t.Helper()
	return upgradedWith(t, 30*time.Second)
}

func upgradedWith(t *testing.T, keepAlive time.Duration) (*relayclient.Conn, *memnet.Conn) {
	t.Helper()
	near, far := memnet.Pipe()
	return relayclient.Upgraded(near, keepAlive), far
}

// frames reads what arrives at the relay until the connection ends.
func frames(far *memnet.Conn) <-chan ws.Frame {
	ch := make(chan ws.Frame)
	go func() {
		defer close(ch)
		for {
			f, err := readFrame(far)
			if err != nil {
				return
			}
			ch <- ws.UnmaskFrame(f)
		}
	}()
	return ch
}

func TestSilenceIsPingedAndAnAnswerIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		read := make(chan error, 1)
		go func() { _, err := io.ReadAll(conn); read <- err }()
		began := time.Now()
		arrived := frames(far)
		for n := range 120 { // an hour
			if f := <-arrived; f.Header.OpCode != ws.OpPing {
				t.Fatalf("got %v, want a ping", f.Header)
			}
			if got, want := time.Since(began), time.Duration(n+1)*30*time.Second; got != want {
				t.Fatalf("ping %d after %v, want %v", n, got, want)
			}
			far.Write(frame(ws.OpPong, true, ""))
		}
		conn.Close()
		if err := <-read; !errors.Is(err, relayclient.ErrDropped) {
			t.Errorf("read: got %v, want a drop", err)
		}
		for range arrived {
		}
		far.Close()
	})
}

func TestUnansweredPingEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		began := time.Now()
		arrived := frames(far)
		go func() { <-arrived }()
		_, err := conn.Read(make([]byte, 1))
		if !errors.Is(err, relayclient.ErrUnresponsive) {
			t.Errorf("read: got %v, want %v", err, relayclient.ErrUnresponsive)
		}
		if took := time.Since(began); took != 40*time.Second {
			t.Errorf("ended after %v, want 40s", took)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, relayclient.ErrUnresponsive) {
			t.Errorf("write: got %v, want %v", err, relayclient.ErrUnresponsive)
		}
		conn.Close()
		far.Close()
	})
}

func TestShortIntervalIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgradedWith(t, time.Second)
		read := make(chan error, 1)
		began := time.Now()
		go func() { _, err := conn.Read(make([]byte, 1)); read <- err }()
		pings := 0
		for f := range frames(far) {
			if f.Header.OpCode != ws.OpPing {
				continue
			}
			if pings++; pings <= 20 {
				far.Write(frame(ws.OpPong, true, ""))
			}
		}
		// One a second, and ten seconds for the first answer that does not come.
		if err := <-read; !errors.Is(err, relayclient.ErrUnresponsive) || time.Since(began) != 31*time.Second || pings != 30 {
			t.Errorf("got %v after %v and %d pings, want unresponsive after 31s and 30", err, time.Since(began), pings)
		}
		conn.Close()
		far.Close()
	})
}

func TestDataKeepsPingsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		go io.Copy(io.Discard, conn)
		go func() {
			for f := range frames(far) {
				t.Errorf("sent %v", f.Header)
			}
		}()
		for range 20 {
			time.Sleep(29 * time.Second)
			far.Write(frame(ws.OpBinary, true, "x"))
		}
		synctest.Wait()
		conn.Close()
		far.Close()
	})
}

func TestNoPingFollowsOurClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(10 * time.Minute)
			far.Write(frame(ws.OpBinary, true, "late"))
			far.Write(closeFrame(1000, ""))
		}()
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != "late" {
			t.Errorf("read: got %q, %v; want %q", got, err, "late")
		}
		conn.Close()
		var sent []ws.OpCode
		for f := range frames(far) {
			sent = append(sent, f.Header.OpCode)
		}
		if len(sent) != 1 || sent[0] != ws.OpClose {
			t.Errorf("sent frames of types %v, want one Close", sent)
		}
		far.Close()
	})
}

func TestAppThatDoesNotReadIsNotDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		go io.Copy(io.Discard, far)
		want := strings.Repeat("d", 200_000)
		go func() {
			far.Write(frame(ws.OpBinary, true, want))
			far.Write(closeFrame(1000, ""))
		}()
		var got []byte
		buf := make([]byte, 50_000)
		for {
			n, err := conn.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				if !isEOF(err) || string(got) != want {
					t.Errorf("got %d bytes, %v; want all", len(got), err)
				}
				break
			}
			time.Sleep(15 * time.Minute) // the app's pause
		}
		conn.Close()
		far.Close()
	})
}

// TestPingBehindAnUploadIsNotJudged: everything has left us and is acknowledged, but
// the relay meets the ping only once the target has taken what stands before it.
func TestPingBehindAnUploadIsNotJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		read := make(chan string, 1)
		go func() {
			got, _ := io.ReadAll(conn)
			read <- string(got)
		}()
		conn.Write([]byte("a request"))
		time.Sleep(10 * time.Minute) // the target is busy
		began := time.Now()
		pings := 0
		for f := range frames(far) {
			// All that had piled up is answered; what comes later is not, and is judged.
			if f.Header.OpCode == ws.OpPing && time.Since(began) == 0 {
				pings++
				far.Write(frame(ws.OpPong, true, string(f.Payload)))
			}
		}
		if pings < 20 {
			t.Errorf("only %d pings kept the way open", pings)
		}
		if got := <-read; got != "" {
			t.Errorf("got %q", got)
		}
		if took := time.Since(began); took != 40*time.Second {
			t.Errorf("then an unanswered ping was noticed after %v, want 40s", took)
		}
		conn.Close()
		far.Close()
	})
}

// TestPingWithoutRoomIsNoEnd: a ping that waits for room behind data keeps nobody
// from judging the relay, which gets as long as data would.
func TestPingWithoutRoomIsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		began := time.Now()
		const header = 8
		if _, err := conn.Write(make([]byte, 64<<10-header-1)); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Read(make([]byte, 1))
		if took := time.Since(began); !errors.Is(err, relayclient.ErrUnresponsive) || took < 15*time.Minute || took > 16*time.Minute {
			t.Errorf("got %v after %v, want %v after a quarter of an hour", err, took, relayclient.ErrUnresponsive)
		}
		conn.Close()
		far.Close()
	})
}

func TestPausedAppIsPingedForAllThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		arrived := frames(far)
		began := time.Now()
		for n := range 10 { // nobody reads, so no answer is judged
			if f := <-arrived; f.Header.OpCode != ws.OpPing {
				t.Fatalf("got %v, want a ping", f.Header)
			}
			if got := time.Since(began); got > time.Duration(n+1)*30*time.Second {
				t.Fatalf("ping %d after %v: the way may be closed by then", n, got)
			}
		}
		conn.Close()
		for range arrived {
		}
		far.Close()
	})
}

func TestBackPressureIsNotDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := upgraded(t)
		received := make(chan string, 1)
		go func() {
			got, _ := io.ReadAll(conn)
			received <- string(got)
		}()
		sent := make(chan error, 1)
		go func() {
			_, err := conn.Write([]byte(strings.Repeat("u", 1<<20)))
			sent <- err
			conn.CloseWrite()
		}()
		// The relay does not read for a quarter of an hour, and pings meanwhile:
		// neither the pings' answers nor our own pings get through.
		for range 3 {
			time.Sleep(5 * time.Minute)
			far.Write(frame(ws.OpPing, true, "hello?"))
			far.Write(frame(ws.OpBinary, true, "down"))
		}
		var up, pongs int
		for f := range frames(far) {
			switch f.Header.OpCode {
			case ws.OpBinary:
				up += len(f.Payload)
			case ws.OpPong:
				pongs++
			case ws.OpClose:
				far.Write(closeFrame(1000, ""))
				far.CloseWrite()
			}
			if f.Header.OpCode == ws.OpClose {
				break
			}
		}
		if err := <-sent; err != nil || up != 1<<20 {
			t.Errorf("upload: %d bytes arrived, error %v; want %d", up, err, 1<<20)
		}
		if got := <-received; got != "downdowndown" {
			t.Errorf("download meanwhile: got %q", got)
		}
		if pongs == 0 {
			t.Error("the pings were never answered")
		}
		conn.Close()
		far.Close()
		synctest.Wait()
	})
}

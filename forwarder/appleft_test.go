package forwarder_test

import (
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
)

func TestAppThatClosedFullyEndsTheTunnelAtTheNextByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		app.Close()
		wantAll(t, "target", target, "")
		write(t, target, "unwanted")
		wantCause(t, b.finish(t), forwarder.AppGone)
		if _, err := target.Write([]byte("more")); err == nil {
			t.Error("the target can still write to nobody")
		}
	})
}

func TestAppThatClosedFullyFreesTheTunnelSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		b := start(t, func(b *testbed) {
			b.server.AppClosed = func(app, us netip.AddrPort) (bool, error) {
				asked++
				if app.Port() != 40000 || us.Addr() != netip.MustParseAddr("127.77.1.1") {
					t.Errorf("asked about %v and %v", app, us)
				}
				return asked == 3, nil
			}
		})
		app, target := b.open(t)
		began := time.Now()
		app.CloseWrite()
		wantReset(t, "app", app)
		wantCause(t, b.finish(t), forwarder.AppGone)
		// Asked after 50, 150 and 350 ms, then 2 s for the remote side to follow.
		if took := time.Since(began); took != 2350*time.Millisecond {
			t.Errorf("freed after %v, want 2.35s", took)
		}
		wantAll(t, "target", target, "")
	})
}

// TestAnEndlessLingerStillAsks: a time-out that means never must not overflow when it is
// counted from the last byte.
func TestAnEndlessLingerStillAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) {
			b.server.Linger = math.MaxInt64
			b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil }
		})
		app, target := b.open(t)
		write(t, app, "hello")
		go io.Copy(io.Discard, target)
		time.Sleep(time.Second)
		app.Close()
		wantCause(t, b.finish(t), forwarder.AppGone)
	})
}

func TestUploadOfAnAppThatLeftGetsTimeToArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
		app, target := b.open(t)
		go io.Copy(io.Discard, target)
		write(t, app, strings.Repeat("u", 4<<20))
		began := time.Now()
		app.CloseWrite()
		wantReset(t, "app", app)
		wantCause(t, b.finish(t), forwarder.AppGone)
		// 16 s for 4 MiB, then 2 s for the remote side.
		if took := time.Since(began).Round(time.Millisecond); took != 18*time.Second {
			t.Errorf("freed after %v, want 18s", took)
		}
	})
}

// TestUploadOfAnAppThatLeftSurvivesAnswers: nobody takes the answers, which is no
// reason to lose what the app had sent before it closed.
func TestUploadOfAnAppThatLeftSurvivesAnswers(t *testing.T) {
	for name, stalled := range map[string]time.Duration{"soon": time.Second, "after checks of the stall": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, func(b *testbed) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
				app, target := b.open(t)
				upload := strings.Repeat("u", 120_000) // more than the tunnel takes
				write(t, app, upload)
				app.Close()
				write(t, target, "250 ok")
				synctest.Wait()
				write(t, target, "250 ok")
				time.Sleep(stalled)
				wantAll(t, "target", target, upload)
				s := b.finish(t)
				wantCause(t, s, forwarder.AppGone)
				if s.Up != int64(len(upload)) || s.Down != 0 {
					t.Errorf("got %d bytes up and %d down, want %d and none", s.Up, s.Down, len(upload))
				}
			})
		})
	}
}

func TestAnswerToAnAppThatLeftDoesNotCutItsUploadsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		go io.Copy(io.Discard, target)
		write(t, app, strings.Repeat("u", 4<<20))
		began := time.Now()
		app.Close()
		write(t, target, "226 received")
		wantCause(t, b.finish(t), forwarder.AppGone)
		// 16 s for 4 MiB, then 2 s for the remote side.
		if took := time.Since(began).Round(time.Millisecond); took != 18*time.Second {
			t.Errorf("freed after %v, want 18s", took)
		}
	})
}

// TestTunnelThatBreaksBehindAnAppThatLeftIsMissed: as long as the far side has not had its
// time, what the app sent may be lost.
func TestTunnelThatBreaksBehindAnAppThatLeftIsMissed(t *testing.T) {
	for name, answer := range map[string]string{"an answer is refused": "220 hello", "found by asking": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, func(b *testbed) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
				app, target := b.open(t)
				write(t, app, "QUIT")
				app.Close()
				write(t, target, answer)
				time.Sleep(time.Second)
				target.SetLinger(0)
				target.Close()
				wantCause(t, b.finish(t), forwarder.TunnelDropped)
			})
		})
	}
}

// TestAppThatLeftHasNotLingered, though telling the remote side of its end takes for
// ever.
func TestAppThatLeftHasNotLingered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) {
			b.wrap = func(t *tunnel) net.Conn { return &stuck{t, make(chan struct{})} }
		})
		app, target := b.open(t)
		write(t, app, "QUIT")
		app.Close()
		write(t, target, "221 bye")
		wantCause(t, b.finish(t), forwarder.AppGone)
		target.Close()
	})
}

// stuck finds no room to pass an end of stream on.
type stuck struct {
	*tunnel
	closed chan struct{}
}

func (s *stuck) CloseWrite() error {
	<-s.closed
	return net.ErrClosed
}

func (s *stuck) Close() error {
	close(s.closed)
	return s.tunnel.Close()
}

// hesitant takes its time to pass an end of stream on.
type hesitant struct{ *tunnel }

func (h hesitant) CloseWrite() error {
	time.Sleep(10 * time.Second)
	return h.tunnel.CloseWrite()
}

func TestEndOfAnAppThatLeftIsPassedOnDespiteAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.wrap = func(t *tunnel) net.Conn { return hesitant{t} } })
		app, target := b.open(t)
		write(t, app, "QUIT")
		app.Close()
		write(t, target, "221 bye")
		wantAll(t, "target", target, "QUIT")
		wantCause(t, b.finish(t), forwarder.AppGone)
	})
}

func TestUploadThatHasLongArrivedNeedsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
		app, target := b.open(t)
		go io.Copy(io.Discard, target)
		for range 100 {
			write(t, app, strings.Repeat("u", 1<<20))
			time.Sleep(5 * time.Second)
		}
		began := time.Now()
		app.CloseWrite()
		wantReset(t, "app", app)
		wantCause(t, b.finish(t), forwarder.AppGone)
		if took := time.Since(began); took != 2050*time.Millisecond {
			t.Errorf("freed after %v, want 2.05s", took)
		}
	})
}

func TestUploadOfAnAppThatLeftIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *testbed) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
		app, target := b.open(t)
		go func() {
			io.WriteString(app, strings.Repeat("u", 100_000)) // more than the tunnel takes
			app.Close()
		}()
		s := b.finish(t)
		wantCause(t, s, forwarder.AppGone)
		if s.Took < 120*time.Second || s.Took > 130*time.Second {
			t.Errorf("freed after %v, want Linger and at most two checks more", s.Took)
		}
		target.Close()
	})
}

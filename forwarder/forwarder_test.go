package forwarder_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/forwarder"
	"hyco-sidecar/test/memnet"
)

// tunnel is the remote half as relayclient's Conn behaves: closed without
// CloseWrite it breaks off.
type tunnel struct {
	*memnet.Conn
	shutdown   bool // the far side said that it reads on
	mu         sync.Mutex
	closeWrite bool
}

func (t *tunnel) CloseWrite() error {
	t.mu.Lock()
	t.closeWrite = true
	t.mu.Unlock()
	return t.Conn.CloseWrite()
}

func (t *tunnel) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closeWrite {
		_ = t.SetLinger(0)
	}
	return t.Conn.Close()
}

func (t *tunnel) HalfClosed() bool { return t.shutdown }

// bench is a server on a memory network inside a synctest bubble.
type bench struct {
	server    forwarder.Server
	ln        *memnet.Listener
	targets   chan *memnet.Conn // far ends, in the order dialled
	shutdown  bool
	wrap      func(*tunnel) net.Conn // makes the remote halves; nil leaves them as they are
	accept    net.Listener           // what the server has of ln
	summaries chan forwarder.Summary
	traffic   forwarder.Traffic
	log       journal
	stop      context.CancelFunc
	done      chan error
}

func start(t *testing.T, adjust func(*bench)) *bench {
	t.Helper()
	b := &bench{
		ln:        memnet.Listen(),
		targets:   make(chan *memnet.Conn, 16),
		summaries: make(chan forwarder.Summary, 16),
		done:      make(chan error, 1),
	}
	b.server = forwarder.Server{
		Dial: func(context.Context, forwarder.Request) (net.Conn, error) {
			near, far := memnet.Pipe()
			b.targets <- far
			remote := &tunnel{Conn: near, shutdown: b.shutdown}
			if b.wrap != nil {
				return b.wrap(remote), nil
			}
			return remote, nil
		},
		NewID:  func() string { return "some-id" },
		Logger: slog.New(slog.NewJSONHandler(&b.log, nil)),
		Hooks:  forwarder.Hooks{Closed: func(s forwarder.Summary) { b.summaries <- s }},
	}
	b.accept = b.ln
	if adjust != nil {
		adjust(b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.stop = cancel
	go func() {
		b.done <- b.server.Serve(ctx, forwarder.Listener{Listener: b.accept, Target: "sql01.corp.example:1433", Traffic: &b.traffic})
	}()
	return b
}

// open connects an app and returns both far ends.
func (b *bench) open(t *testing.T) (app, target *memnet.Conn) {
	t.Helper()
	app, err := b.ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	return app, <-b.targets
}

// finish stops the server and returns the summary of the last connection.
func (b *bench) finish(t *testing.T) forwarder.Summary {
	t.Helper()
	s := <-b.summaries
	b.stop()
	if err := <-b.done; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	return s
}

func wantCause(t *testing.T, got forwarder.Summary, want forwarder.Cause) {
	t.Helper()
	if got.Cause != want {
		t.Errorf("cause: got %q (%v), want %q", got.Cause, got.Err, want)
	}
}

func wantReset(t *testing.T, who string, conn io.Reader) {
	t.Helper()
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: got %v, want a reset", who, err)
	}
}

func wantAll(t *testing.T, who string, conn io.Reader, want string) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v; want %q and the end of the stream", who, got, err, want)
	}
}

func write(t *testing.T, conn io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(conn, s); err != nil {
		t.Fatalf("write %.20q: %v", s, err)
	}
}

func TestAppHalfCloseLetsTheAnswerThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, app, "question")
		app.CloseWrite()
		wantAll(t, "target", target, "question")
		time.Sleep(time.Minute) // below Linger
		write(t, target, "answer")
		target.CloseWrite()
		wantAll(t, "app", app, "answer")
		s := b.finish(t)
		wantCause(t, s, forwarder.Closed)
		if s.Up != 8 || s.Down != 6 {
			t.Errorf("bytes: got up %d down %d, want 8 and 6", s.Up, s.Down)
		}
	})
}

func TestRemoteHalfCloseLetsTheAppGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "hello")
		target.CloseWrite()
		wantAll(t, "app", app, "hello")
		write(t, app, "a long upload")
		app.CloseWrite()
		wantAll(t, "target", target, "a long upload")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

func TestRemoteShutdownWithoutDataLetsTheAppGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.shutdown = true })
		app, target := b.open(t)
		target.CloseWrite()
		wantAll(t, "app", app, "")
		write(t, app, "upload")
		app.CloseWrite()
		wantAll(t, "target", target, "upload")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

func TestRemoteCloseWithoutDataIsAReset(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration
		want  forwarder.Cause
	}{
		{"a refused target", 2 * time.Second, forwarder.TargetUnreachable},
		{"a black hole", 21 * time.Second, forwarder.TargetUnreachable},
		{"much later", 2 * time.Minute, forwarder.ClosedWithoutData},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, nil)
				app, target := b.open(t)
				write(t, app, "question")
				time.Sleep(test.after)
				target.CloseWrite()
				wantReset(t, "app", app)
				wantCause(t, b.finish(t), test.want)
				if line := b.log.String(); !strings.Contains(line, `"cause":"`+string(test.want)+`"`) || !strings.Contains(line, "WARN") {
					t.Errorf("the log does not warn of %s:\n%s", test.want, line)
				}
			})
		})
	}
}

func TestRemoteCloseWithoutDataAfterTheAppEndedIsAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, app, "one way")
		app.CloseWrite()
		wantAll(t, "target", target, "one way")
		target.Close()
		wantAll(t, "app", app, "")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

func TestAppResetBreaksTheTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, app, "half a")
		synctest.Wait()
		app.SetLinger(0)
		app.Close()
		wantReset(t, "target", target)
		wantCause(t, b.finish(t), forwarder.AppReset)
	})
}

func TestResetIsNoticedWhileTheUploadStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		go io.WriteString(app, strings.Repeat("u", 500_000)) // more than all buffers hold
		time.Sleep(time.Hour)                                // a stalled target is no reason to end
		app.SetLinger(0)
		app.Close()
		began := time.Now()
		s := b.finish(t)
		wantCause(t, s, forwarder.AppReset)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("noticed after %v, want 5s at most", took)
		}
		wantReset(t, "target", target)
	})
}

// TestNobodyWaitsWithBothDirectionsStalled: what looks after a stalled upload must
// not queue up behind a download that stalls as well.
func TestNobodyWaitsWithBothDirectionsStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		go io.WriteString(app, strings.Repeat("u", 500_000))
		go io.WriteString(target, strings.Repeat("d", 500_000))
		time.Sleep(time.Hour)
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("checkStall")) {
			t.Errorf("a goroutine hangs:\n%s", stacks)
		}
		app.SetLinger(0)
		app.Close()
		wantCause(t, b.finish(t), forwarder.AppReset)
		wantReset(t, "target", target)
	})
}

// dying is an app's connection that has timed out, of which the kernel tells the
// first to ask alone: the others find an end of stream.
type dying struct{ *memnet.Conn }

func (dying) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, syscall.ETIMEDOUT
	}
	return 0, syscall.EPIPE
}

// dyingListener accepts such connections.
type dyingListener struct{ *memnet.Listener }

func (l dyingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return dying{conn.(*memnet.Conn)}, nil
}

func TestConnectionThatTimedOutHasNotEnded(t *testing.T) {
	for name, dialling := range map[string]bool{"in the dial": true, "while the upload stalls": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, func(b *bench) {
					b.accept = dyingListener{b.ln}
					if dialling {
						b.server.Dial = waitForContext
					}
				})
				app, err := b.ln.Dial()
				if err != nil {
					t.Fatal(err)
				}
				write(t, app, strings.Repeat("u", 120_000)) // more than anybody takes
				app.CloseWrite()
				want := forwarder.AppReset
				if dialling {
					want = forwarder.AppGaveUp
				}
				summary := b.finish(t)
				wantCause(t, summary, want)
				if summary.Took > 10*time.Second {
					t.Errorf("noticed after %v, want 10s at most", summary.Took)
				}
				if !dialling {
					wantReset(t, "target", <-b.targets)
				}
			})
		})
	}
}

// overTCP joins an app to remote over real sockets. finish returns the summary and
// stops the server.
func overTCP(t *testing.T, remote net.Conn, adjust ...func(*forwarder.Server)) (app *net.TCPConn, finish func() forwarder.Summary) {
	t.Helper()
	summaries := make(chan forwarder.Summary, 1)
	s := &forwarder.Server{
		NewID: func() string { return "some-id" },
		Dial:  func(context.Context, forwarder.Request) (net.Conn, error) { return remote, nil },
		Hooks: forwarder.Hooks{Closed: func(s forwarder.Summary) { summaries <- s }},
	}
	for _, adjust := range adjust {
		adjust(s)
	}
	dial, stop := serveTCP(t, s)
	return dial(), func() forwarder.Summary {
		t.Helper()
		defer stop()
		return <-summaries
	}
}

// serveTCP has s serve apps on real sockets, until stop.
func serveTCP(t *testing.T, s *forwarder.Server) (dial func() *net.TCPConn, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, forwarder.Listener{Listener: ln, Target: "api.corp.example:80"}) }()
	dial = func() *net.TCPConn {
		t.Helper()
		app, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return app.(*net.TCPConn)
	}
	return dial, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	}
}

// TestAppThatResetsAfterItsEndFreesTheTunnelSoon runs on real sockets: after a reset
// the kernel has none to be asked about, and the far side does not answer either.
func TestAppThatResetsAfterItsEndFreesTheTunnelSoon(t *testing.T) {
	t.Parallel()
	near, far := memnet.Pipe()
	defer far.Close()
	var gone atomic.Bool
	app, finish := overTCP(t, &tunnel{Conn: near}, func(s *forwarder.Server) {
		s.AppClosed = func(netip.AddrPort, netip.AddrPort) (bool, error) {
			if gone.Load() {
				return false, errors.ErrUnsupported
			}
			return false, nil
		}
	})
	write(t, app, "question")
	app.CloseWrite()
	wantAll(t, "target", far, "question")
	app.SetLinger(0)
	app.Close()
	gone.Store(true)
	wantCause(t, finish(), forwarder.AppGone)
}

// TestAnswerThatWasResetIsNoEnd runs on real sockets: the reset is met by nothing but
// our end of stream, which the kernel refuses.
func TestAnswerThatWasResetIsNoEnd(t *testing.T) {
	near, far := memnet.Pipe()
	defer far.Close()
	app, finish := overTCP(t, &tunnel{Conn: near})
	write(t, app, "question")
	app.CloseWrite()
	wantAll(t, "target", far, "question")
	write(t, far, "a long answer")
	if _, err := io.ReadFull(app, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	app.SetLinger(0)
	app.Close()
	far.CloseWrite()
	wantCause(t, finish(), forwarder.AppGone)
}

// slowly is a remote half that has ended, reads on, and takes its time.
type slowly struct {
	closedFully
	takes <-chan time.Time
	got   chan<- string
}

func (s slowly) Write(p []byte) (int, error) {
	<-s.takes
	s.got <- string(p)
	return len(p), nil
}

func (slowly) CloseWrite() error { return nil }
func (slowly) HalfClosed() bool  { return true }

// TestStalledUploadAfterTheRemoteEndedGoesOn runs on real sockets: after an end of
// stream the kernel answers an empty write with a broken pipe.
func TestStalledUploadAfterTheRemoteEndedGoesOn(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	app, finish := overTCP(t, slowly{closedFully{answer: strings.NewReader("")}, time.After(7 * time.Second), got})
	wantAll(t, "app", app, "")
	write(t, app, "upload")
	app.Close()
	if data := <-got; data != "upload" {
		t.Errorf("the remote side got %q", data)
	}
	wantCause(t, finish(), forwarder.Closed)
}

// TestEmptyWriteTellsAReset holds on to what the kernel does: with data still
// unread, a write of nothing is the one call that meets the reset.
func TestEmptyWriteTellsAReset(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	app, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	us, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer us.Close()
	if _, err := app.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	if _, err := us.Write(nil); err != nil {
		t.Errorf("an open connection: got %v", err)
	}
	app.(*net.TCPConn).SetLinger(0)
	app.Close()
	if _, err := us.Write(nil); err == nil {
		t.Error("a reset connection: got no error")
	}
}

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

func TestDroppedTunnelResetsTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "half an ans")
		synctest.Wait()
		target.SetLinger(0)
		target.Close()
		got, err := io.ReadAll(app)
		if string(got) != "half an ans" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("app: got %q, %v; want the data and a reset", got, err)
		}
		s := b.finish(t)
		wantCause(t, s, forwarder.TunnelDropped)
		if s.Err == nil {
			t.Error("the summary does not carry the error")
		}
	})
}

func TestRemoteFullCloseWhileTheAppSendsEndsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "go away")
		target.Close()
		wantAll(t, "app", app, "go away")
		write(t, app, "still talking")
		s := b.finish(t)
		wantCause(t, s, forwarder.RemoteClosed)
		if strings.Contains(b.log.String(), "WARN") {
			t.Errorf("an ordinary end is an alarm:\n%s", b.log.String())
		}
	})
}

// TestRemoteThatClosedFullyAndMissedNothingIsAnEnd: telling it of the app's end fails,
// but it has all the app ever sent.
func TestRemoteThatClosedFullyAndMissedNothingIsAnEnd(t *testing.T) {
	app, finish := overTCP(t, deaf{closedFully{answer: strings.NewReader("221 bye")}})
	wantAll(t, "app", app, "221 bye")
	app.Close()
	wantCause(t, finish(), forwarder.Closed)
}

// deaf is closedFully, and cannot be told of an end either.
type deaf struct{ closedFully }

func (deaf) CloseWrite() error { return syscall.EPIPE }

func TestAppThatSendsOnAndStaysHasNotLingered(t *testing.T) {
	app, finish := overTCP(t, closedFully{answer: strings.NewReader("go away")},
		func(s *forwarder.Server) { s.Linger = 300 * time.Millisecond })
	defer app.Close()
	wantAll(t, "app", app, "go away")
	write(t, app, "still talking")
	wantCause(t, finish(), forwarder.RemoteClosed)
}

// closedFully is a remote half that gave an answer, takes nothing any more, and
// has ended.
type closedFully struct {
	net.Conn
	answer io.Reader
}

func (c closedFully) Read(p []byte) (int, error)  { return c.answer.Read(p) }
func (c closedFully) Write(p []byte) (int, error) { return 0, syscall.EPIPE }
func (c closedFully) Close() error                { return nil }

// TestAnswerSurvivesAnUploadThatNobodyTakes runs on real sockets: it is the kernel
// that throws an answer away when a socket is closed with unread data.
func TestAnswerSurvivesAnUploadThatNobodyTakes(t *testing.T) {
	const size = 8 << 20
	app, finish := overTCP(t, closedFully{answer: io.LimitReader(zeros{}, size)})
	uploaded := make(chan struct{})
	go func() {
		defer close(uploaded)
		for {
			if _, err := app.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	got, err := io.Copy(io.Discard, app)
	if err != nil || got != size {
		t.Errorf("the app got %d bytes, %v; want %d and the end of the stream", got, err, size)
	}
	app.Close()
	<-uploaded
	wantCause(t, finish(), forwarder.RemoteClosed)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestRemoteThatPromisedToReadOnAndDoesNotIsAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.shutdown = true })
		app, target := b.open(t)
		write(t, target, "hello")
		target.CloseWrite()
		wantAll(t, "app", app, "hello")
		target.SetLinger(0)
		target.Close()
		write(t, app, "lost")
		s := b.finish(t)
		wantCause(t, s, forwarder.TunnelDropped)
		if _, err := app.Write([]byte("more")); err == nil {
			t.Error("the app can still write to nobody")
		}
	})
}

func TestUploadOfAnAppThatLeftGetsTimeToArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
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
				b := start(t, func(b *bench) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
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
				b := start(t, func(b *bench) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
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
		b := start(t, func(b *bench) {
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
		b := start(t, func(b *bench) { b.wrap = func(t *tunnel) net.Conn { return hesitant{t} } })
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
		b := start(t, func(b *bench) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
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
		b := start(t, func(b *bench) { b.server.AppClosed = func(_, _ netip.AddrPort) (bool, error) { return true, nil } })
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

func TestFailedDialResetsTheAppAndNamesTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) {
			b.server.Dial = func(context.Context, forwarder.Request) (net.Conn, error) {
				return nil, refusal{errors.New("no listener is connected")}
			}
		})
		app, _ := b.ln.Dial()
		wantReset(t, "app", app)
		s := b.finish(t)
		wantCause(t, s, forwarder.DialFailed)
		for _, want := range []string{`"endpoint":"sql01.corp.example:1433"`, `"id":"some-id"`, `"cause":"dial_failed"`,
			`"error":"no listener is connected"`, `"status":404`, `"level":"WARN"`} {
			if !strings.Contains(b.log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, b.log.String())
			}
		}
	})
}

type refusal struct{ error }

func (refusal) LogAttrs() []slog.Attr { return []slog.Attr{slog.Int("status", 404)} }

func TestDialIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) {
			b.server.DialTimeout = 7 * time.Second
			b.server.Dial = waitForContext
		})
		began := time.Now()
		app, _ := b.ln.Dial()
		wantReset(t, "app", app)
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("reset after %v, want 7s", took)
		}
		wantCause(t, b.finish(t), forwarder.DialFailed)
	})
}

func waitForContext(ctx context.Context, _ forwarder.Request) (net.Conn, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestAppThatResetsCancelsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.server.Dial = waitForContext })
		app, _ := b.ln.Dial()
		write(t, app, "hello?")
		time.Sleep(time.Second)
		app.SetLinger(0)
		app.Close()
		s := b.finish(t)
		wantCause(t, s, forwarder.AppGaveUp)
		if s.Took != time.Second {
			t.Errorf("ended after %v, want 1s", s.Took)
		}
	})
}

// TestAppThatResetsAfterItSentMuchCancelsTheDial: what it sent is more than anybody
// reads ahead.
func TestAppThatResetsAfterItSentMuchCancelsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.server.Dial = waitForContext })
		app, _ := b.ln.Dial()
		write(t, app, strings.Repeat("u", 100_000))
		time.Sleep(5 * time.Second)
		app.SetLinger(0)
		app.Close()
		began := time.Now()
		wantCause(t, b.finish(t), forwarder.AppGaveUp)
		if took := time.Since(began); took > time.Second {
			t.Errorf("noticed after %v, want 1s at most", took)
		}
	})
}

// An app that gave up did so for a reason, where attempts had failed until then.
func TestAppThatGivesUpIsToldOfWithWhatWentWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noListener := errors.New("no listener")
		b := start(t, func(b *bench) {
			b.server.Dial = func(ctx context.Context, r forwarder.Request) (net.Conn, error) {
				<-ctx.Done()
				return nil, noListener
			}
		})
		app, _ := b.ln.Dial()
		time.Sleep(time.Second)
		app.SetLinger(0)
		app.Close()
		s := b.finish(t)
		wantCause(t, s, forwarder.AppGaveUp)
		if s.Err != noListener {
			t.Errorf("got %v, want %v", s.Err, noListener)
		}
	})
}

func TestAppThatEndsWithoutAByteStopsFurtherAttemptsOnly(t *testing.T) {
	for _, succeeds := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, func(b *bench) {
				inner := b.server.Dial
				b.server.Dial = func(ctx context.Context, r forwarder.Request) (net.Conn, error) {
					<-r.Last
					time.Sleep(time.Second) // the attempt in progress
					if err := ctx.Err(); err != nil {
						t.Errorf("the attempt in progress was cancelled: %v", err)
					}
					if !succeeds {
						return nil, errors.New("no listener")
					}
					return inner(ctx, r)
				}
			})
			app, _ := b.ln.Dial()
			app.CloseWrite()
			if !succeeds {
				wantReset(t, "app", app)
				wantCause(t, b.finish(t), forwarder.AppGaveUp)
				return
			}
			target := <-b.targets
			wantAll(t, "target", target, "")
			write(t, target, "banner")
			target.CloseWrite()
			wantAll(t, "app", app, "banner")
			wantCause(t, b.finish(t), forwarder.Closed)
		})
	}
}

func TestWhatTheAppSentDuringTheDialArrivesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) {
			inner := b.server.Dial
			b.server.Dial = func(ctx context.Context, r forwarder.Request) (net.Conn, error) {
				time.Sleep(5 * time.Second)
				return inner(ctx, r)
			}
		})
		want := strings.Repeat("0123456789", 20_000) // more than reading ahead takes
		app, err := b.ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(app, want)
			app.CloseWrite()
		}()
		target := <-b.targets
		wantAll(t, "target", target, want)
		target.Close()
		wantAll(t, "app", app, "")
		wantCause(t, b.finish(t), forwarder.Closed)
	})
}

func TestLingerCountsSilenceNotTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		began := time.Now()
		app.CloseWrite()
		for range 5 {
			time.Sleep(100 * time.Second)
			write(t, target, "x")
		}
		got, err := io.ReadAll(app)
		if string(got) != "xxxxx" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("app: got %q, %v; want all bytes and a reset", got, err)
		}
		if took := time.Since(began); took != 620*time.Second {
			t.Errorf("ended after %v, want 500 s of bytes and 120 s of silence", took)
		}
		wantCause(t, b.finish(t), forwarder.Lingered)
	})
}

func TestSilentAppIsFreedAfterTheRemoteEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		write(t, target, "bye")
		target.CloseWrite()
		began := time.Now()
		wantReset(t, "target", target)
		if took := time.Since(began); took != 120*time.Second {
			t.Errorf("freed after %v, want 120s", took)
		}
		wantAll(t, "app", app, "bye")
		wantCause(t, b.finish(t), forwarder.Lingered)
	})
}

func TestAppThatClosedFullyFreesTheTunnelSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		b := start(t, func(b *bench) {
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

func TestHalfClosedAppIsNotCut(t *testing.T) {
	for name, closed := range map[string]func(app, us netip.AddrPort) (bool, error){
		"the app still has it": func(_, _ netip.AddrPort) (bool, error) { return false, nil },
		"nobody can tell":      func(_, _ netip.AddrPort) (bool, error) { return false, errors.ErrUnsupported },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, func(b *bench) { b.server.AppClosed = closed })
				app, target := b.open(t)
				app.CloseWrite()
				time.Sleep(119 * time.Second)
				write(t, target, "late")
				target.CloseWrite()
				wantAll(t, "app", app, "late")
				wantCause(t, b.finish(t), forwarder.Closed)
			})
		})
	}
}

func TestIdleConnectionsAreReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.server.IdleTimeout = time.Minute })
		app, target := b.open(t)
		time.Sleep(40 * time.Second)
		write(t, app, "x")
		began := time.Now()
		wantReset(t, "app", app)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("reset after %v of silence, want 1m0s", took)
		}
		wantReset(t, "target", target)
		wantCause(t, b.finish(t), forwarder.IdleTimeout)
	})
}

func TestDrainServesUntilTheLastConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		app, target := b.open(t)
		synctest.Wait()
		b.stop()
		time.Sleep(5 * time.Second)
		second, target2 := b.open(t)
		write(t, second, "last words")
		second.CloseWrite()
		wantAll(t, "second target", target2, "last words")
		target2.Close()
		wantAll(t, "second app", second, "")
		wantCause(t, <-b.summaries, forwarder.Closed)

		time.Sleep(5 * time.Second)
		write(t, target, "done")
		target.CloseWrite()
		wantAll(t, "app", app, "done")
		app.Close()
		wantCause(t, b.finish(t), forwarder.Closed)
		if _, err := b.ln.Dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after the drain: got %v, want refused", err)
		}
	})
}

func TestDrainResetsWhatIsOpenInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.server.DrainTimeout = 10 * time.Second })
		app, target := b.open(t)
		synctest.Wait()
		began := time.Now()
		b.stop()
		wantReset(t, "app", app)
		wantReset(t, "target", target)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("reset after %v, want 10s", took)
		}
		wantCause(t, b.finish(t), forwarder.Shutdown)
	})
}

func TestConnectionsAboveTheLimitWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.server.MaxConnections = 1 })
		app, target := b.open(t)
		second, err := b.ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(b.targets); n != 0 {
			t.Errorf("%d connections dialled above the limit", n)
		}
		app.CloseWrite()
		synctest.Wait()
		target.Close()
		wantAll(t, "app", app, "")
		wantCause(t, <-b.summaries, forwarder.Closed)
		target = <-b.targets
		write(t, target, "now")
		target.CloseWrite()
		wantAll(t, "second app", second, "now")
		second.Close()
		wantCause(t, b.finish(t), forwarder.Closed)
		if got := strings.Count(b.log.String(), "connections have to wait"); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
	})
}

func TestConnectionThatNeverHadItsTurnIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.server.MaxConnections = 1 })
		b.open(t)
		second, err := b.ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.stop()
		wantReset(t, "second app", second)
		wantCause(t, <-b.summaries, forwarder.Shutdown)
		wantCause(t, b.finish(t), forwarder.Shutdown)
		if got := strings.Count(b.log.String(), `"shutdown"`); got != 2 {
			t.Errorf("%d lines tell of a connection's end, want 2:\n%s", got, b.log.String())
		}
	})
}

// flaky fails to accept for a while.
type flaky struct {
	net.Listener
	fails int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.fails > 0 {
		f.fails--
		return nil, syscall.EMFILE
	}
	return f.Listener.Accept()
}

func TestAcceptFailuresAreWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(b *bench) { b.accept = &flaky{b.ln, 12} })
		open := func() {
			app, target := b.open(t)
			target.Close()
			wantReset(t, "app", app)
		}
		open()
		<-b.summaries
		time.Sleep(time.Minute)
		open() // which proves that the first was no exception
		b.finish(t)
		for _, line := range []string{"accept failed, retrying", "accept works again", "too many open files"} {
			if got := strings.Count(b.log.String(), line); got != 1 {
				t.Errorf("%q logged %d times, want once:\n%s", line, got, b.log.String())
			}
		}
	})
}

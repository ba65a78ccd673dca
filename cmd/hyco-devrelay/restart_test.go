package main_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/fakelistener"
)

// freePort is an address that is free for TCP and UDP.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := tcp.Addr().String()
		udp, err := net.ListenPacket("udp", addr)
		tcp.Close()
		if err == nil {
			udp.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// sidecar starts the real hyco-sidecar with what the relay printed, and returns how
// an app reaches the endpoint of a name.
func sidecar(t *testing.T, d *devrelay, more ...string) (dial func(endpoint string) (net.Conn, error)) {
	t.Helper()
	dns := freePort(t)
	cmd := exec.Command(program(t, "hyco-sidecar"))
	cmd.Env = append(more, "HYCO_DNS_LISTEN="+dns, "HYCO_ADMIN_LISTEN=off", "HYCO_LOG_FORMAT=text")
	for _, line := range d.report {
		if !strings.HasPrefix(line, "#") {
			cmd.Env = append(cmd.Env, line)
		}
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	ready := make(chan struct{})
	go func() {
		var all strings.Builder
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			fmt.Fprintln(&all, lines.Text())
			if strings.Contains(lines.Text(), "msg=ready") {
				close(ready)
			}
		}
		said <- all.String()
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		text := <-said
		cmd.Wait()
		if t.Failed() {
			t.Logf("the sidecar said:\n%s", text)
		}
	})
	select {
	case <-ready:
	case text := <-said:
		said <- text
		t.Fatal("the sidecar ended too early")
	case <-time.After(30 * time.Second):
		t.Fatal("the sidecar is not ready")
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, dns)
	}}
	return func(endpoint string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return (&net.Dialer{Resolver: resolver}).DialContext(ctx, "tcp", endpoint)
	}
}

// works is one exchange with an echo server.
func works(dial func(string) (net.Conn, error), endpoint string) error {
	c, err := dial(endpoint)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	got := make([]byte, 5)
	if n, err := c.Read(got); err != nil || string(got[:n]) != "hello" {
		return fmt.Errorf("echo: %q %w", got[:n], err)
	}
	return nil
}

// The relay is killed, and stopped, and started again with the same arguments. The
// sidecar, the relay's own listener, and one from elsewhere come back by themselves.
func TestServiceIsBackAfterARestart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems have no more than one loopback address set up")
	}
	bin, dir := program(t, "hyco-devrelay"), t.TempDir()
	address := freePort(t) // listeners and sidecar have it in their settings
	target := echo(t)
	args := []string{"-listen", address, "-state", dir, "-drain", "100ms",
		"own-hc=own.corp.example:7@" + target, "far-hc"}
	d := run(t, bin, args...)

	online := make(chan struct{}, 100)
	l := &fakelistener.Listener{
		ConnectionString: d.line("# listener far-hc: "),
		RootCAs:          d.roots,
		Personality:      fakelistener.HalfClose,
		Online:           func() { online <- struct{}{} },
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", target)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	<-online
	dial := sidecar(t, d, "HYCO_CONNECTION_1_ENDPOINT=far.corp.example:7")
	endpoints := []string{"own.corp.example:7", "far.corp.example:7"}
	for _, endpoint := range endpoints {
		if err := works(dial, endpoint); err != nil {
			t.Fatalf("before: %s: %v", endpoint, err)
		}
	}
	for _, how := range []struct {
		signal syscall.Signal
		away   time.Duration
	}{{syscall.SIGKILL, 0}, {syscall.SIGTERM, 0}, {syscall.SIGKILL, 4 * time.Second}} {
		whole := t // the relay lives on after the subtest
		t.Run(fmt.Sprintf("%v, away for %v", how.signal, how.away), func(t *testing.T) {
			open, err := dial(endpoints[0])
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			open.SetDeadline(time.Now().Add(20 * time.Second))
			open.Write([]byte("x"))
			if _, err := open.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			d.end(how.signal)
			if n, err := open.Read(make([]byte, 1)); n != 0 || err == nil || !strings.Contains(err.Error(), "reset") {
				t.Errorf("the app's open connection: %d bytes, %v; want a reset", n, err)
			}
			<-time.After(how.away)
			d = run(whole, bin, args...)
			back := time.Now()
			again := time.NewTicker(50 * time.Millisecond)
			defer again.Stop()
			for _, endpoint := range endpoints {
				for {
					err := works(dial, endpoint)
					if err == nil {
						break
					}
					if time.Since(back) > 10*time.Second {
						t.Fatalf("%s is not back after %v: %v", endpoint, time.Since(back), err)
					}
					<-again.C
				}
			}
			t.Logf("back after %v", time.Since(back))
		})
	}
}

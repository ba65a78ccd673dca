package browser_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/program"
)

// sidecar is the real program at work.
type sidecar struct {
	*program.Process
	page     string // the status page's origin
	resolver string // host:port
	address  string // where the endpoint is accepted
	name     string // the endpoint's
}

func startSidecar(t *testing.T, s *site) *sidecar {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "./cmd/hyco-sidecar")
	build.Dir = "../.." // with the sidecar's own dependencies, not with those of this module
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var ips program.Loopback
	var free [3]string
	for i := range free {
		address, err := program.FreeAddress(ips.IP())
		if err != nil {
			t.Fatal(err)
		}
		free[i] = address
	}
	host, port, err := net.SplitHostPort(free[0])
	if err != nil {
		t.Fatal(err)
	}
	c := &sidecar{page: "http://" + free[1], resolver: free[2], address: free[0], name: "sql01.corp.example:" + port}
	c.Process, err = program.Start(program.Command{Path: filepath.Join(dir, "hyco-sidecar"), Env: []string{
		"HYCO_CONNECTION_0_ENDPOINT=" + c.name,
		"HYCO_CONNECTION_0_ADDRESS=" + host,
		"HYCO_CONNECTION_0_CONNECTION_STRING=" + fakerelay.ConnectionString(s.address, s.entity, s.sends),
		"HYCO_CA_FILE=" + s.caFile,
		"HYCO_DNS_LISTEN=" + c.resolver,
		"HYCO_DNS_UPSTREAMS=127.0.0.1:9", // nobody: nothing leaves the machine
		"HYCO_ADMIN_LISTEN=" + free[1],
		"HYCO_CONNECT_TIMEOUT=4s", // so long does a connection without a listener take
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		code, err := c.Stop(syscall.SIGTERM, patience)
		if code != 0 || err != nil || t.Failed() {
			t.Errorf("the sidecar ended with code %d (%v) and said:\n%s", code, err, c.Stderr.Tail(4000))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.Await(ctx, &c.Stderr, `"msg":"ready"`); err != nil {
		t.Fatal(err)
	}
	return c
}

// connect opens a connection to the endpoint, as an app does, and sends text to
// and fro. The caller closes it.
func (c *sidecar) connect(text string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", c.address, patience)
	if err != nil {
		return nil, err
	}
	answer := make([]byte, len(text))
	err = errors.Join(conn.SetDeadline(time.Now().Add(patience)), write(conn, text), readFull(conn, answer))
	if err == nil && string(answer) != text {
		err = fmt.Errorf("got %q for %q", answer, text)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func write(conn net.Conn, text string) error { _, err := io.WriteString(conn, text); return err }

func readFull(conn net.Conn, b []byte) error { _, err := io.ReadFull(conn, b); return err }

// TestARealSidecarIsWatchedWhileItsListenerStopsAndReturns shows what somebody
// sees who has the page open meanwhile.
func TestARealSidecarIsWatchedWhileItsListenerStopsAndReturns(t *testing.T) {
	t.Parallel()
	needsBrowser(t)
	s := newSite(t)
	stopListener := s.startListener(t)
	c := startSidecar(t, s)
	p := open(t, c.page, 360)
	p.awaitText(c.name, "not used yet", "through sql01-hc in 127.0.0.1", "never", "No app has asked this resolver for a name")
	p.awaitTitle("hyco-sidecar")

	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, c.resolver)
	}}
	if _, err := resolver.LookupHost(t.Context(), "sql01.corp.example"); err != nil {
		t.Fatal(err)
	}
	p.awaitText("An app uses this resolver")

	conn, err := c.connect(strings.Repeat("x", 2048))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.awaitText("1 healthy, 0 not used yet", "2 KiB")
	p.await(`document.getElementById("open").textContent === "1"`)
	conn.Close()
	p.await(`document.getElementById("open").textContent === "0"`)

	stopListener()
	if conn, err := c.connect("anybody there?"); err == nil {
		conn.Close()
		t.Fatal("a connection got through without a listener")
	}
	p.awaitTitle("1 failing – hyco-sidecar")
	p.awaitText(`Start a Hybrid Connection Manager for "sql01-hc", or restart it if the portal shows it as connected.`,
		"no_listener", "no listener is connected", "Azure’s tracking id", "docs/troubleshooting.md#no_listener")
	p.accessible("failing")
	p.keep("real-360-failing")

	s.startListener(t)
	if conn, err = c.connect("anybody there?"); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.awaitTitle("hyco-sidecar")
	p.sees("1 healthy, 0 not used yet", "none failing")

	c.Signal(syscall.SIGTERM) // while a connection is open
	p.awaitTitle("draining – hyco-sidecar")
	p.mayLose()
	conn.Close()
	p.awaitTitle("no answer – hyco-sidecar")
	p.awaitText("The sidecar has not answered since ", "it cannot be reached.", c.name)
}

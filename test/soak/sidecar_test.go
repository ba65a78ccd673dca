package soak_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/program"
)

// sidecar is a running hyco-sidecar with an endpoint for each of its lanes. What it
// prints on stderr is in the journal, whole when it has ended.
type sidecar struct {
	*program.Process

	lanes     []*lane
	names     []string // of the endpoints
	addresses []string // where they are reached
	journal   *journal
}

// buildSidecar returns the path of the program, which has the race detector if
// the test has it.
func buildSidecar(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := program.Build(t.Context(), dir, program.RaceDetector(), "hyco-sidecar/cmd/hyco-sidecar"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "hyco-sidecar")
}

// startSidecar starts the program at path for lanes of s and waits until it is ready.
// It is killed with the test, if it has not ended before.
func startSidecar(t *testing.T, path string, s *site, lanes []*lane) *sidecar {
	t.Helper()
	c := &sidecar{lanes: lanes}
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, s.caPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	c.addresses = freeAddresses(t, len(lanes)+1)
	env := []string{
		"HYCO_CA_FILE=" + caFile,
		"HYCO_DNS_LISTEN=" + c.addresses[len(lanes)],
		"HYCO_ADMIN_LISTEN=off",
		"HYCO_DNS_UPSTREAMS=127.0.0.1:9", // nobody: nothing leaves the machine
		"HYCO_CONNECT_TIMEOUT=12s",       // one attempt that is never answered, and another
		"HYCO_KEEPALIVE=1s",
		"HYCO_LOG_LEVEL=debug", // which tells of every accept
		"GORACE=atexit_sleep_ms=0",
	}
	for i, l := range lanes {
		host, port, err := net.SplitHostPort(c.addresses[i])
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("lane%02d.corp.example:%s", i, port)
		c.names = append(c.names, name)
		env = append(env,
			fmt.Sprintf("HYCO_CONNECTION_%d_ENDPOINT=%s", i, name),
			fmt.Sprintf("HYCO_CONNECTION_%d_ADDRESS=%s", i, host),
			fmt.Sprintf("HYCO_CONNECTION_%d_CONNECTION_STRING=%s", i, fakerelay.ConnectionString(s.address, fakerelay.Entity{Path: l.entity}, s.sends)))
	}
	c.journal = newJournal(c.names)
	p, err := program.Start(program.Command{Path: path, Env: env, Dir: t.TempDir(), Stderr: c.journal})
	if err != nil {
		t.Fatal(err)
	}
	c.Process = p
	t.Cleanup(func() { _, _ = c.Stop(syscall.SIGKILL, patience) }) // it may have ended
	select {
	case <-c.journal.ready:
	case <-c.Ended():
		t.Fatalf("the sidecar ended with exit code %d\n%s", c.ExitCode(), c.journal.account().other)
	case <-time.After(patience):
		t.Fatal("the sidecar is not ready")
	}
	return c
}

// freeAddresses returns addresses of 127.77.0.0/16 on which nobody listens.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for i := range n {
		ln, err := net.Listen("tcp4", fmt.Sprintf("127.77.%d.%d:0", os.Getpid()&0xff, 1+i))
		if err != nil {
			t.Skipf("this machine has no 127.77.0.0/16: %v", err)
		}
		defer ln.Close()
		addresses = append(addresses, ln.Addr().String())
	}
	return addresses
}

// terminate ends the process as an orchestrator does and returns the exit code.
func (c *sidecar) terminate() (int, error) { return c.Stop(syscall.SIGTERM, patience) }

// goroutines ends the process with the signal that makes the Go runtime print
// all stacks, and returns those of the program. The runtime starts its own when
// it likes: a collector's worker with the first collection, cleanups later.
func (c *sidecar) goroutines() ([]string, error) {
	if _, err := c.Stop(syscall.SIGQUIT, patience); err != nil {
		return nil, err
	}
	stacks, ok := program.Stacks(c.journal.account().other)
	if !ok {
		return nil, fmt.Errorf("no stacks after SIGQUIT: %s", c.journal.account().other)
	}
	return slices.DeleteFunc(stacks, func(stack string) bool { return strings.Contains(stack, "created by runtime.") }), nil
}

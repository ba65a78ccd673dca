package soak_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/program"
	"hyco-sidecar/test/relay"
)

// sidecar is a running hyco-sidecar with an endpoint for each of its lanes.
type sidecar struct {
	lanes     []*lane
	names     []string // of the endpoints
	addresses []string // where they are reached
	journal   *journal

	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended and all that it printed is in the journal
}

// buildSidecar returns the path of the program, which has the race detector if
// the test has it.
func buildSidecar(t *testing.T) string {
	t.Helper()
	race := false
	if info, ok := debug.ReadBuildInfo(); ok {
		race = slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
	}
	path := filepath.Join(t.TempDir(), "hyco-sidecar")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-race="+strconv.FormatBool(race), "-o", path, "../../cmd/hyco-sidecar")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// startSidecar starts the program at path for lanes of s and waits until it is ready. It is
// killed with the test, if it has not ended before.
func startSidecar(t *testing.T, path string, s *site, lanes []*lane) *sidecar {
	t.Helper()
	c := &sidecar{lanes: lanes, exited: make(chan struct{})}
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
			fmt.Sprintf("HYCO_CONNECTION_%d_CONNECTION_STRING=%s", i, relay.ConnectionString(s.address, relay.Entity{Path: l.entity}, s.sends)))
	}
	c.journal = newJournal(c.names)
	c.cmd = exec.Command(path)
	c.cmd.Env = env
	c.cmd.Dir = t.TempDir()
	c.cmd.Stderr = c.journal
	// A test binary that is killed takes the sidecar with it.
	c.cmd.SysProcAttr = program.Tied()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait() // the exit code says it
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		<-c.exited
	})
	select {
	case <-c.journal.ready:
	case <-c.exited:
		t.Fatalf("the sidecar ended: %v\n%s", c.cmd.ProcessState, c.journal.account().other)
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

// descriptors is how many the process has open.
func (c *sidecar) descriptors() (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	return len(entries), err
}

// terminate is what an orchestrator does; it returns the exit code.
func (c *sidecar) terminate() (int, error) {
	return c.signal(syscall.SIGTERM)
}

// goroutines ends the process with the signal that makes the Go runtime print
// all stacks, and returns those of the program. The runtime starts its own when
// it likes: a collector's worker with the first collection, cleanups later.
func (c *sidecar) goroutines() ([]string, error) {
	if _, err := c.signal(syscall.SIGQUIT); err != nil {
		return nil, err
	}
	_, dump, ok := strings.Cut(c.journal.account().other, "SIGQUIT: quit")
	if !ok {
		return nil, fmt.Errorf("no stacks after SIGQUIT: %s", c.journal.account().other)
	}
	var stacks []string
	for stack := range strings.SplitSeq(dump, "\n\n") {
		if strings.HasPrefix(stack, "goroutine ") && !strings.HasPrefix(stack, "goroutine 0 ") && // 0 is a thread's scheduler
			!strings.Contains(stack, "created by runtime.") {
			stacks = append(stacks, stack)
		}
	}
	return stacks, nil
}

func (c *sidecar) signal(s syscall.Signal) (exitCode int, err error) {
	if err := c.cmd.Process.Signal(s); err != nil {
		return 0, err
	}
	select {
	case <-c.exited:
		return c.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("the sidecar has not ended %v after %v", patience, s)
	}
}

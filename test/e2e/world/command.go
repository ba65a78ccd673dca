//go:build linux

package world

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Command is what one run of a tool has beside its arguments.
type Command struct {
	Stdin  io.Reader     // nil = an end at once
	Env    []string      // besides PATH, LC_ALL and HOME
	Within time.Duration // the test fails when the tool takes longer; zero = 2 Patience
}

// Result is how a tool has ended.
type Result struct {
	Stdout, Stderr string
	Code           int // -1 for a signal
	Took           time.Duration
}

// Run runs argv in the namespace, to its end.
func (w *World) Run(t testing.TB, ns string, c Command, argv ...string) Result {
	t.Helper()
	within := cmp.Or(c.Within, 2*Patience)
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns}, argv...)...)
	cmd.Env = append(append(slim(), "HOME="+w.Dir), c.Env...)
	cmd.Dir = w.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdin = c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !kill.Stop() {
		t.Fatalf("%v has not ended within %v\nstdout: %s\nstderr: %s", argv, within, Tail(stdout.String()), Tail(stderr.String()))
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%v: %v", argv, err)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(began)}
}

// MustRun is Run for a tool that has to succeed; it returns what was printed on
// stdout.
func (w *World) MustRun(t testing.TB, ns string, c Command, argv ...string) string {
	t.Helper()
	r := w.Run(t, ns, c, argv...)
	if r.Code != 0 {
		t.Fatalf("%v: exit code %d\nstdout: %s\nstderr: %s", argv, r.Code, Tail(r.Stdout), Tail(r.Stderr))
	}
	return r.Stdout
}

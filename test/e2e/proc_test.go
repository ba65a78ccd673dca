package e2e_test

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that ought to come at once. It is
// long because the machine may be busy, and costs nothing when all is well.
const patience = 30 * time.Second

// transcript keeps what a process prints and wakes whoever waits for more.
type transcript struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{} // closed by the next Write; nil when nobody waits
}

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.text = append(tr.text, p...)
	if tr.grown != nil {
		close(tr.grown)
		tr.grown = nil
	}
	return len(p), nil
}

func (tr *transcript) String() string {
	text, _ := tr.read()
	return text
}

func (tr *transcript) read() (text string, grown <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.grown == nil {
		tr.grown = make(chan struct{})
	}
	return string(tr.text), tr.grown
}

// process is a running program, ended at the end of its world.
type process struct {
	name           string
	pid            int
	stdin          io.WriteCloser
	stdout, stderr transcript
	exited         chan struct{} // closed when it has ended and its output is complete
	code           int           // valid after exited; -1 for a signal
}

// start runs argv in the namespace with just the environment given.
func (w *world) start(t testing.TB, ns, name string, env []string, argv ...string) *process {
	t.Helper()
	p := &process{name: name, exited: make(chan struct{})}
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns}, argv...)...)
	// The race detector's runtime would sleep for a second at every exit.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GORACE=atexit_sleep_ms=0"}, env...)
	cmd.Dir = w.dir
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	// A test binary that is killed takes everything it started with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// Children that outlive the process must not hold Wait by its pipes.
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p.stdin, p.pid = stdin, cmd.Process.Pid
	go func() {
		_ = cmd.Wait() // the exit code says it
		p.code = cmd.ProcessState.ExitCode()
		close(p.exited)
	}()
	w.processes = append(w.processes, p)
	return p
}

// signal sends sig unless the process has ended.
func (p *process) signal(sig syscall.Signal) {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(p.pid, sig) // it may end this very moment
	}
}

// wait waits for the process to end by itself and returns its exit code.
func (p *process) wait(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.code
	case <-time.After(within):
		t.Fatalf("%s has not ended within %v\n%s", p.name, within, tail(p.stderr.String()))
		return 0
	}
}

// end asks with sig, then insists.
func (p *process) end(sig syscall.Signal) {
	p.signal(sig)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
}

// await waits until found says yes to everything tr, a transcript of p, holds.
func (p *process) await(t testing.TB, tr *transcript, within time.Duration, what string, found func(text string) bool) string {
	t.Helper()
	timeout := time.After(within)
	exited := p.exited
	for {
		text, grown := tr.read()
		if found(text) {
			return text
		}
		select {
		case <-grown:
		case <-exited:
			if text, _ := tr.read(); found(text) {
				return text
			}
			t.Fatalf("%s ended (exit code %d) before: %s\n%s", p.name, p.code, what, tail(p.stderr.String()))
		case <-timeout:
			t.Fatalf("%s: nothing of this within %v: %s\nstdout: %s\nstderr: %s", p.name, within, what,
				tail(p.stdout.String()), tail(p.stderr.String()))
		}
	}
}

// awaitText waits for text on stdout.
func (p *process) awaitText(t testing.TB, text string) {
	t.Helper()
	p.await(t, &p.stdout, patience, text, func(out string) bool { return strings.Contains(out, text) })
}

// command is one run of a tool, to its end.
type command struct {
	stdin  io.Reader
	env    []string
	within time.Duration // zero = 2 patience
}

type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// run runs argv in the namespace and waits for it.
func (w *world) run(t testing.TB, ns string, c command, argv ...string) result {
	t.Helper()
	within := cmp.Or(c.within, 2*patience)
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns}, argv...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GORACE=atexit_sleep_ms=0", "HOME=" + w.dir}, c.env...)
	cmd.Dir = w.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdin = c.stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !kill.Stop() {
		t.Fatalf("%v has not ended within %v\nstdout: %s\nstderr: %s", argv, within, tail(stdout.String()), tail(stderr.String()))
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%v: %v", argv, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(began)}
}

// mustRun is run for a tool that has to succeed; it returns what it printed.
func (w *world) mustRun(t testing.TB, ns string, c command, argv ...string) string {
	t.Helper()
	r := w.run(t, ns, c, argv...)
	if r.code != 0 {
		t.Fatalf("%v: exit code %d\nstdout: %s\nstderr: %s", argv, r.code, tail(r.stdout), tail(r.stderr))
	}
	return r.stdout
}

// eventually asks a condition that nobody announces until it holds.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// tail keeps a failure's output readable.
func tail(text string) string {
	const most = 4000
	if len(text) <= most {
		return text
	}
	return "…" + text[len(text)-most:]
}

//go:build linux

package world

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/program"
)

// Process is a program at work in one of the namespaces. Its world ends it, if it
// has not ended before. Its Stdin is a pipe; Stdout and Stderr keep all it prints.
type Process struct{ *program.Process }

// Start runs argv in the namespace with PATH, LC_ALL=C and just the environment
// given. name is what a failure calls it.
func (w *World) Start(t testing.TB, ns, name string, env []string, argv ...string) *Process {
	t.Helper()
	p, err := program.Start(program.Command{
		Name:  name,
		Path:  "ip",
		Args:  append([]string{"netns", "exec", ns}, argv...),
		Env:   append(slim(), env...),
		Dir:   w.Dir,
		Stdin: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.processes = append(w.processes, p)
	return &Process{p}
}

// slim is the environment that everything has here.
func slim() []string {
	// The race detector's runtime would sleep for a second at every exit.
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GORACE=atexit_sleep_ms=0"}
}

// Role has this test binary play a role of package role in the namespace.
func (w *World) Role(t testing.TB, ns, name string, args ...string) *Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return w.Start(t, ns, fmt.Sprint(name, " ", args), []string{role.Variable + "=" + name}, append([]string{self}, args...)...)
}

// Serve starts a role that listens at address, and waits until it does.
func (w *World) Serve(t testing.TB, ns, name, address string, args ...string) *Process {
	t.Helper()
	p := w.Role(t, ns, name, append([]string{address}, args...)...)
	p.AwaitText(t, "listening")
	return p
}

// Wait waits for the process to end by itself and returns its exit code, which is
// -1 after a signal. The test fails when that takes longer than within.
func (p *Process) Wait(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.Ended():
		return p.ExitCode()
	case <-time.After(within):
		t.Fatalf("%s has not ended within %v\n%s", p.Name(), within, Tail(p.Stderr.String()))
		return 0
	}
}

// MustEnd waits for a process that has to succeed and to have printed text.
func (p *Process) MustEnd(t testing.TB, within time.Duration, text string) {
	t.Helper()
	code := p.Wait(t, within)
	if out := p.Stdout.String(); code != 0 || !strings.Contains(out, text) {
		t.Fatalf("%s: exit code %d after %q, want %q\n%s", p.Name(), code, out, text, Tail(p.Stderr.String()))
	}
}

// End asks the process to end with sig, insists after ten seconds, and returns when
// it has ended.
func (p *Process) End(sig syscall.Signal) { end(p.Process, sig) }

func end(p *program.Process, sig syscall.Signal) {
	_, _ = p.Stop(sig, 10*time.Second) // how it ends is of no interest here
}

// Await waits until found says yes to all the text of stream, which is one of p's,
// and returns that text. The test fails when the process ends before, or when that
// takes longer than within; what is what was waited for.
func (p *Process) Await(t testing.TB, stream *program.Transcript, within time.Duration, what string, found func(text string) bool) string {
	t.Helper()
	timeout := time.After(within)
	for {
		text, grown := stream.Follow()
		if found(text) {
			return text
		}
		select {
		case <-grown:
		case <-p.Ended():
			if text := stream.String(); found(text) {
				return text
			}
			t.Fatalf("%s ended (exit code %d) before: %s\n%s", p.Name(), p.ExitCode(), what, Tail(p.Stderr.String()))
		case <-timeout:
			t.Fatalf("%s: nothing of this within %v: %s\nstdout: %s\nstderr: %s", p.Name(), within, what,
				Tail(p.Stdout.String()), Tail(p.Stderr.String()))
		}
	}
}

// AwaitText waits for text on stdout.
func (p *Process) AwaitText(t testing.TB, text string) {
	t.Helper()
	p.Await(t, &p.Stdout, Patience, text, func(out string) bool { return strings.Contains(out, text) })
}

// Tell sends a line.
func (p *Process) Tell(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(p.Stdin, line+"\n"); err != nil {
		t.Fatalf("%s: %s: %v", p.Name(), line, err)
	}
}

// Instruct sends a line and waits until answer has been printed after it.
func (p *Process) Instruct(t testing.TB, line, answer string) {
	t.Helper()
	before := len(p.Stdout.String())
	p.Tell(t, line)
	p.Await(t, &p.Stdout, 2*Patience, answer, func(out string) bool { return strings.Contains(out[before:], answer) })
}

// Package program runs programs as child processes for the harnesses of this
// project: it builds them, starts them, waits for what they print, ends them, and
// reads from /proc what they cost.
//
// Whoever starts a process ends it, with Stop or as one of a Group. A process that
// was forgotten is killed when the harness ends (on Linux).
package program

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Command is a program to be started.
type Command struct {
	Path string
	Args []string // without the program's own name
	Env  []string // all of it: nothing is inherited
	Dir  string   // empty = the caller's

	Name   string    // what errors call it; empty = the file name of Path
	Stdin  bool      // Process.Stdin is a pipe to it; false = it reads an end at once
	Stderr io.Writer // takes stderr in place of Process.Stderr, one Write at a time; nil = none
}

// Process is a program that was started. Whoever started it ends it with Stop.
type Process struct {
	Stdin          io.WriteCloser // nil unless Command.Stdin was set
	Stdout, Stderr Transcript

	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and its output is complete
}

// ErrKilled is returned by Stop for a process that did not end by itself.
var ErrKilled = errors.New("program: it did not end when asked and was killed")

// Start starts c. Where the system can do that (Linux), the process is killed
// when the caller's ends.
func Start(c Command) (*Process, error) {
	p := &Process{name: cmp.Or(c.Name, filepath.Base(c.Path)), cmd: exec.Command(c.Path, c.Args...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{}, c.Env...) // not nil, which would inherit
	p.cmd.Dir = c.Dir
	p.cmd.Stdout, p.cmd.Stderr = &p.Stdout, &p.Stderr
	if c.Stderr != nil {
		p.cmd.Stderr = c.Stderr
	}
	if c.Stdin {
		stdin, err := p.cmd.StdinPipe()
		if err != nil {
			return nil, fmt.Errorf("program: start %s: %w", p.name, err)
		}
		p.Stdin = stdin
	}
	p.cmd.SysProcAttr = Tied()
	// Children that outlive the process must not hold Wait by its pipes.
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("program: start %s: %w", p.name, err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code says it
		p.Stdout.end()
		p.Stderr.end()
		close(p.ended)
	}()
	return p, nil
}

// Name is Command.Name, or the file name of the program.
func (p *Process) Name() string { return p.name }

// PID is the process's id. It may be another's after Ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended and its output is complete.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// ExitCode is valid after Ended; it is -1 for a process that a signal ended.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Signal sends sig, unless the process has ended.
func (p *Process) Signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // it may end this very moment
}

// Stop asks the process to end with sig, kills it when it has not within the
// given time, and returns its exit code, with ErrKilled in the latter case. It
// may be called again, and for a process that has ended by itself.
func (p *Process) Stop(sig syscall.Signal, within time.Duration) (code int, err error) {
	p.Signal(sig)
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-p.ended:
	case <-timeout.C:
		err = ErrKilled
		p.Signal(syscall.SIGKILL)
		<-p.ended
	}
	return p.ExitCode(), err
}

// Await waits for the first line with text on stream, which is one of p's, and
// returns it without its line break. It fails when ctx or the process ends
// before; the error then holds the last of what went to stderr.
func (p *Process) Await(ctx context.Context, stream *Transcript, text string) (line string, err error) {
	line, err = stream.await(ctx, text)
	if err != nil {
		return "", fmt.Errorf("program: %s has not printed %q: %w\n%s", p.Name(), text, err, p.Stderr.Tail(4000))
	}
	return line, nil
}

package program

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 30 * time.Second

func shell(t *testing.T, script string, env ...string) *Process {
	t.Helper()
	p, err := Start(Command{Path: "/bin/sh", Args: []string{"-c", script}, Env: env})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { p.Stop(syscall.SIGKILL, patience) })
	return p
}

func TestEnvironmentIsTheOneGiven(t *testing.T) {
	t.Setenv("INHERITED", "yes")
	p := shell(t, `echo "given=$GIVEN inherited=$INHERITED"`, "GIVEN=yes")
	line, err := p.Await(t.Context(), &p.Stdout, "given=")
	if err != nil || line != "given=yes inherited=" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestAwaitFindsALineOnEitherStream(t *testing.T) {
	p := shell(t, `echo one; echo two >&2; echo three; exec sleep 60`)
	for _, c := range []struct {
		stream *Transcript
		text   string
	}{{&p.Stdout, "hre"}, {&p.Stdout, "one"}, {&p.Stderr, "two"}} {
		if line, err := p.Await(t.Context(), c.stream, c.text); err != nil || !strings.Contains(line, c.text) {
			t.Errorf("%q, %v", line, err)
		}
	}
}

func TestAwaitFailsWithTheProcess(t *testing.T) {
	p := shell(t, `echo half; echo "out of luck" >&2; exit 3`)
	_, err := p.Await(t.Context(), &p.Stdout, "whole")
	if err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("the error does not hold what the process said: %v", err)
	}
	<-p.Ended()
	if code, err := p.Stop(syscall.SIGTERM, patience); code != 3 || err != nil {
		t.Errorf("exit code %d, %v, want 3", code, err)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	p := shell(t, `exec sleep 60`)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := p.Await(ctx, &p.Stdout, "never"); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

func TestStop(t *testing.T) {
	obedient := shell(t, `trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done`)
	stubborn := shell(t, `trap '' TERM; echo ready; while :; do sleep 0.01; done`)
	for _, p := range []*Process{obedient, stubborn} {
		if _, err := p.Await(t.Context(), &p.Stdout, "ready"); err != nil {
			t.Fatal(err)
		}
	}
	if code, err := obedient.Stop(syscall.SIGTERM, patience); code != 0 || err != nil {
		t.Errorf("obedient: exit code %d, %v", code, err)
	}
	if code, err := stubborn.Stop(syscall.SIGTERM, 100*time.Millisecond); code != -1 || !errors.Is(err, ErrKilled) {
		t.Errorf("stubborn: exit code %d, %v", code, err)
	}
}

func TestBuildReportsWhatTheCompilerSays(t *testing.T) {
	err := Build(t.Context(), t.TempDir(), false, "hyco-sidecar/cmd/no-such-program")
	if err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("got %v", err)
	}
}

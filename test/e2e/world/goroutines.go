//go:build linux

package world

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/program"
)

// Goroutines ends the sidecar with the signal that makes the Go runtime print all
// stacks, and counts the goroutines by their outermost functions.
func (s *Sidecar) Goroutines(t testing.TB) map[string]int {
	t.Helper()
	s.Signal(syscall.SIGQUIT)
	s.Wait(t, 10*time.Second)
	stacks, ok := program.Stacks(s.Stderr.String())
	if !ok {
		t.Fatalf("no stacks after SIGQUIT:\n%s", Tail(s.Stderr.String()))
	}
	counts := make(map[string]int)
	for _, stack := range stacks {
		// These wait for another dial, and end within a second.
		if !strings.Contains(stack, "forwarder.(*dialers).work") {
			counts[outermost(stack)]++
		}
	}
	return counts
}

// outermost is the first function of this project's or a library's that a goroutine
// has called.
func outermost(stack string) (name string) {
	for line := range strings.Lines(stack) {
		args := strings.LastIndex(line, "(")
		function := line[:max(args, 0)]
		switch {
		case function == "", strings.HasPrefix(line, "\t"), strings.HasPrefix(line, "goroutine "):
		case strings.HasPrefix(line, "created by "):
		case strings.HasPrefix(function, "runtime.goexit"), strings.HasPrefix(function, "sync.(*WaitGroup).Go"):
		default:
			name = function
		}
	}
	return name
}

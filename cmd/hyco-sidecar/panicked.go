package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// A panic anywhere ends the process: a sidecar of which a part is dead looks
// healthy and is not. Its orchestrator starts another. Every goroutine of ours
// begins with a guard, so that this is one line of the log and exit code 1.
// What Go does by itself, many lines and exit code 2, which here means wrong
// settings, is left to what cannot be caught: faults that the runtime finds, such
// as a map written by two, memory that ran out, and goroutines of libraries
// while they run none of our code.

// guard is told of panics.
type guard func(value any, stack []byte)

// raise is deferred, and tells of a panic. Without a guard it takes its course.
func (g guard) raise() {
	if g == nil {
		return
	}
	if v := recover(); v != nil {
		g(v, debug.Stack())
		panic(v)
	}
}

// guarded returns f with the guard around it, for parts that take a hook by which
// they wrap what runs on each of their goroutines.
func (g guard) guarded(f func()) func() {
	return func() {
		defer g.raise()
		f()
	}
}

const (
	maxPanic = 1 << 10
	maxStack = 16 << 10
	// lastWords is how long the line may take: whoever reads the log may not.
	lastWords = 5 * time.Second
)

// panicked returns the guard that writes to log and ends the process. Of several
// panics at once it tells of the first.
func panicked(log *slog.Logger) guard {
	var first sync.Mutex // never unlocked
	return func(value any, stack []byte) {
		first.Lock()
		time.AfterFunc(lastWords, func() { os.Exit(exitFailed) })
		log.Error("a part of the program panicked",
			"panic", cut(panicText(value), maxPanic),
			"stack", cut(fromPanic(string(stack)), maxStack),
			"next", "report it with this line; the process ends with exit code 1, and whoever supervises it starts another")
		os.Exit(exitFailed)
	}
}

// panicText is a panic's value in words. Of values that have none it shows the
// type: what they hold is not known.
func panicText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case error, fmt.Stringer:
		return fmt.Sprint(v) // which survives a panic of their methods
	}
	return fmt.Sprintf("a value of type %T", value)
}

// fromPanic leaves out what a stack shows of the panic's own handling.
func fromPanic(stack string) string {
	if _, after, ok := strings.Cut(stack, "\npanic("); ok {
		if _, after, ok := strings.Cut(after, "\n\t"); ok { // where panic is
			if _, after, ok := strings.Cut(after, "\n"); ok {
				stack = after
			}
		}
	}
	return strings.TrimSpace(stack)
}

func cut(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

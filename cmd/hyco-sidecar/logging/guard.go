package logging

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// LastWords bounds the writing of the process's last line: whoever reads the log
// may not do so.
const LastWords = 5 * time.Second

const (
	exitFailed = 1 // the process's exit code after a panic
	maxPanic   = 1 << 10
	maxStack   = 16 << 10
)

// ending is locked by the first panic and never unlocked: the process ends once,
// and its last line tells of the first of several panics.
var ending sync.Mutex

// Guard returns a function that wraps what runs on a goroutine: a panic there is
// one line of log, and ends the process with exit code 1.
//
// A sidecar of which a part is dead looks healthy and is not, so a panic anywhere
// ends the process, and its orchestrator starts another. What Go does by itself,
// many lines and exit code 2, which here means wrong settings, is left to what
// cannot be caught: faults that the runtime finds, such as a map written by two
// goroutines, memory that ran out, and goroutines of libraries while they run
// none of the program's code.
//
// [http.ErrAbortHandler], by which a handler gives up on its client, is passed on.
func Guard(log *slog.Logger) func(f func()) func() {
	return func(f func()) func() {
		return func() {
			defer raise(log)
			f()
		}
	}
}

// raise is deferred. It recovers a panic, logs it and ends the process.
func raise(log *slog.Logger) {
	v := recover()
	switch v {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(v)
	}
	stack := string(debug.Stack())
	ending.Lock()
	time.AfterFunc(LastWords, func() { os.Exit(exitFailed) })
	log.Error("a part of the program panicked",
		"panic", cut(panicText(v), maxPanic),
		"stack", cut(fromPanic(stack), maxStack))
	os.Exit(exitFailed)
}

// returns runs f and reports whether it returned. It is for methods of values that are
// only shown: one that panics costs a part of its line, and not the process.
func returns(f func()) (ok bool) {
	defer func() { ok = recover() == nil }()
	f()
	return true
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

// fromPanic cuts a stack down to what led to the panic that ends the process. Where
// another one was under way, what led to that stands behind it.
func fromPanic(stack string) string {
	if i := strings.Index(stack, "\npanic("); i >= 0 {
		after := stack[i+1:]
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

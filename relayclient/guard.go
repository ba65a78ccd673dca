package relayclient

import "runtime/debug"

// guard is [Client.Panicked] for goroutines. Every one begins with a deferred
// raise, so that none dies without a word. What is deferred after that runs
// before it, and so must not wait for others.
type guard func(value any, stack []byte)

// raise is deferred, and hands a panic on.
func (g guard) raise() {
	if g == nil {
		return
	}
	if v := recover(); v != nil {
		g(v, debug.Stack())
		panic(v)
	}
}

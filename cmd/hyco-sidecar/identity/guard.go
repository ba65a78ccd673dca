package identity

import "runtime/debug"

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

package admin

import (
	"net/http"
	"runtime/debug"
)

// guard is [Plan.Panicked]. Every goroutine begins with a deferred raise, so that
// none dies without a word.
type guard func(value any, stack []byte)

// raise is deferred, and hands a panic on.
func (g guard) raise() {
	if g == nil {
		return
	}
	if v := recover(); v != nil {
		if v != http.ErrAbortHandler { // a handler's way to give up on a client
			g(v, debug.Stack())
		}
		panic(v)
	}
}

// handler guards requests, of whose panics net/http makes a line of the log at
// best, and goes on.
func (g guard) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer g.raise()
		next.ServeHTTP(w, r)
	})
}

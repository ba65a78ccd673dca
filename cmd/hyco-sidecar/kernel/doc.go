// Package kernel asks the kernel about sockets of this network namespace: whether
// an app still holds its end of a connection ([AppClosed]), who keeps an address
// from being bound ([Holder]), whether bytes for apps are still on their way
// ([HasUnsentData]).
//
// It owns the formats of sock_diag(7) and of /proc/net. Each question opens and
// closes what it needs: there is no state, and every function may be called from
// any goroutine. It never changes anything, needs no right beyond those of an
// ordinary process, and knows nothing of endpoints.
package kernel

// Package sidecar is the running sidecar: it makes the parts of one plan, joins them,
// binds every socket, serves, drains and stops.
//
// This is where dnsproxy, forwarder and relayclient meet; none of them knows of
// another. The parts are joined by functions and hooks in sidecar.go, and contract.go
// says which methods they need of each other. What the settings say of an endpoint
// becomes a route, with the client, the tokens and the counters that carry it. In
// route.go are the forwarder's two questions: its Dial is routes.dial, its AppClosed
// routes.appClosed.
//
//	New    makes the parts, which know of no endpoint yet
//	Run    binds everything, or nothing
//	       applies the plan: each part is told its share by one call
//	       serves until the context ends, somebody asks for the end, or a part fails
//	       drains: connections end first, DNS after them, the admin server last
//
// The package owns every listening socket until a part serves it, every client, and
// every goroutine that runs beside the connections: each belongs to one of the
// lifetimes in lifetime.go. It reads no settings, installs no signal handler, and
// never ends the process.
package sidecar

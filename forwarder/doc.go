// Package forwarder accepts TCP connections and joins each one to a target
// that a [DialFunc] reaches, so that neither end notices anything but the delay.
//
// A transparent proxy is judged by how connections end:
//   - an end of stream is passed on as an end of stream, one direction at a time;
//   - everything else reaches the app as a reset, and the target, unless it had the
//     app's end of stream, as a connection that breaks off: a truncated stream
//     never looks complete;
//   - a dial that failed is a reset: the app was accepted before we knew.
//
// One connection's way through the files:
//
//	server.go   Serve starts a loop per listener, waits, drains
//	accept.go   the loop accepts, and waits for a slot where all are taken
//	conn.go     one connection from top to bottom: dial, carry, release
//	dialers.go  the goroutines that dials run on
//	early.go    during a dial: is the app still there, and what does it send
//	pipe.go     two goroutines copy, through buffers that reader.go lends
//	ends.go     what both sides have done, what is due next, and the verdict;
//	            event.go lists what can happen, cause.go the verdicts
//	due.go      the timer for what ends.go says is due next
//	stall.go    an upload that does not progress: is the app still there
//	sockets.go  how a connection is closed, in order or by a reset
//	report.go   the hooks and the log line, unless repeats.go has seen too many
//	            of one kind
//
// What is asked of a dialled connection and of errors beyond net.Conn and error
// stands in contract.go. Panics on goroutines are left to [Server.Guard].
//
// Who receives a connection closes it: Serve its listeners and what they
// accept, and what Dial returned.
package forwarder

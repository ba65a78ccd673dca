// Package forwarder accepts TCP connections and joins each one to a target
// that a [DialFunc] reaches, without either end noticing more of it than the
// delay.
//
// A transparent proxy is judged by how connections end. One connection's way:
// [Server.Serve] accepts it (server.go), conn.go dials, on a goroutine of
// dialers.go, while early.go watches whether the app is still there; pipe.go
// copies both ways through buffers that reader.go lends, and carries every end
// to the other side; cause.go names it, and conn.go writes one line, unless
// repeats.go has seen too many like it. A panic on any goroutine is handed on by
// guard.go.
//
// Ends:
//   - an end of stream is passed on as an end of stream, one direction at a time;
//   - everything else reaches the app as a reset and the target as a connection
//     that breaks off, so that a truncated stream never looks complete;
//   - a dial that failed is a reset: the app was accepted before we knew.
//
// Who receives a connection closes it: Serve its listeners and what they
// accept, and what Dial returned.
package forwarder

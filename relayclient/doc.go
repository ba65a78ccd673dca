// Package relayclient is a sender of Azure Relay hybrid connections: it joins
// a hybrid connection by name and returns a byte stream that can be
// half-closed in both directions.
//
// A connection's way through the package: [Client.Dial] retries what may pass
// (client.go, errors.go). One attempt (attempt.go) asks for a token (token.go),
// takes a TLS connection that was kept ready (warm.go) or makes one (connect.go,
// names.go), and performs the WebSocket handshake on it. The relay answers 101
// only once a listener has taken the connection, so a [Conn] means "a listener
// took it", never "its target answers". Then bytes travel in binary messages
// (conn.go, inbound.go, outbound.go) until each direction has been ended by one
// Close frame.
//
// # Half-close
//
// The reference client ends one direction by sending Close 1000 "Shutdown" and
// reads on. github.com/coder/websocket cannot: it answers a peer's Close and
// tears the connection down, and its own Close discards what still arrives. So
// the library performs the handshake and judges the answer; the frames are read
// and written here.
//
// # Waiting
//
// A connection that waits holds no buffer. Frames' heads are collected in place
// and payload goes from TLS straight to the reader. The TCP connection beneath
// TLS can be read without waiting (socket.go), so one Read returns everything
// that has arrived.
//
// Invariants:
//   - at most one Close frame is sent, by CloseWrite, and nothing after it;
//   - Close without CloseWrite sends no Close frame: listeners read a Close of
//     any code as a complete stream, and a broken one must not look complete;
//   - io.EOF is returned only for Close 1000, 1001 and 1005; every other end
//     is an error;
//   - empty messages are never sent: the official listeners take one for the
//     end of the stream;
//   - a token travels in a header, never in a URL, an error or a log line.
package relayclient

// Package relayclient is a sender of Azure Relay hybrid connections: it joins
// a hybrid connection by name and returns a byte stream that can be
// half-closed in both directions.
//
// A connection's way through the package: [Client.Dial] asks for a token
// (token.go), performs the WebSocket handshake (attempt.go) and retries what
// may pass (client.go, errors.go). The relay answers 101 only once a listener
// has taken the connection, so a [Conn] means "a listener took it", never "its
// target answers". Then bytes travel in binary messages (conn.go) until each
// direction has been ended by one Close frame.
//
// # Half-close
//
// The reference client ends one direction by sending Close 1000 "Shutdown" and
// reads on. github.com/coder/websocket cannot: it answers a peer's Close and
// tears the connection down, and its own Close discards what still arrives. So
// the work is divided at the upgraded body (body.go): the library reads, we
// write. Inbound frames pass through to the library except a Close frame, which
// becomes an error, so the connection stays writable; outbound frames are all
// written here, and whatever the library wants to write is swallowed.
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

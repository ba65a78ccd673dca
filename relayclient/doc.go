// Package relayclient is a sender of Azure Relay hybrid connections: it joins a hybrid
// connection by name and returns a byte stream of which each direction ends on its own.
//
//	client := &relayclient.Client{Namespace: "contoso.servicebus.windows.net"}
//	defer client.Close()
//	conn, err := client.Dial(ctx, relayclient.Request{
//		Entity: "orders-hc",
//		Tokens: relayclient.NewSASKey("send", key),
//	})
//
// The relay answers only once a listener has taken the connection. So a [Conn] means "a
// listener took it", and nothing about the listener's target; with [Aztunnel] alone it means
// that the target was reached as well.
//
// # The walk of a dial
//
//	Client.Dial             client.go    one call, one budget: its context
//	  Client.retry          retry.go     attempts and pauses; another credential when one is refused (rollover.go)
//	    Client.attempt      attempt.go   ten seconds at most; Hooks.Attempted at its end
//	      choice.token      rollover.go  a token for the entity (token.go)
//	      warmPool.take     warm.go      a link that was kept ready, or else
//	      Client.connect    connect.go     TCP (dialtcp.go, names.go), perhaps a proxy (proxy.go), TLS
//	      try.upgrade       upgrade.go   the WebSocket handshake over the link (roundtrip.go)
//	  Client.performOpening opening.go   what an azbridge or aztunnel listener is told first
//
// A failure at any step is a [*DialError], which knows how far the dial came. [Client.Clock]
// and [Client.Describe] take the same way as far as TLS and then ask a question of their own.
//
// # The life of a Conn
//
// Bytes travel in binary WebSocket messages (RFC 6455): inbound.go takes frames apart,
// outbound.go makes them, frame.go has what both need to know. A reader that waits holds no
// buffer: heads of frames are collected in place and payload goes from TLS straight to the
// reader. The TCP connection beneath TLS can be read without waiting (socket.go), so one Read
// returns everything that has arrived. While nothing arrives, the relay is pinged
// (keepalive.go).
//
// Each direction ends with one Close frame: ours with CloseWrite, the far side's as [io.EOF].
// What is known of both is one value, ends (ends.go), whose diagram shows every way in which
// a Conn can end; connstate.go holds it, and conn.go, outbound.go, keepalive.go and close.go
// act on it.
//
// The WebSocket library, github.com/coder/websocket, cannot half-close: it answers a peer's
// Close and tears the connection down, and its own Close discards what still arrives
// (docs/relay-protocol.md §6.6). So it performs the handshake and judges the answer; frames
// are read and written here.
//
// # Invariants
//
//   - At most one Close frame is sent, and nothing after it.
//   - Close without CloseWrite sends no Close frame: listeners read a Close of any code as a
//     complete stream, and a broken one must not look complete.
//   - [io.EOF] is returned only for Close 1000, 1001 and 1005; every other end is an error.
//   - Empty messages are never sent: the official listeners take one for the end of the
//     stream (docs/relay-protocol.md §5).
//   - Nothing is tried again once a listener has taken the connection.
//   - A token travels in a header, never in a URL, an error or a log line.
//   - Reads and writes are independent: neither ever waits for the other.
//   - A Conn's goroutines end before its Close returns, a Client's before its Close returns,
//     and each begins through Client.Guard.
package relayclient

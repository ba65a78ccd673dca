// Package fakerelay is a stand-in of the Azure Relay hybrid connections service,
// for tests, development and demonstrations.
//
// A listener opens a control channel (sb-hc-action=listen). A sender connects
// (sb-hc-action=connect) and is held, unanswered, while one of the listeners
// is told an address. Once that listener has come to the address
// (sb-hc-action=accept) both handshakes are completed and the two sockets are
// joined.
//
// Invariants of the joined pair:
//   - Frames keep their type, their boundaries and their order, and are passed
//     on while they arrive.
//   - Each direction ends with its own Close frame, which is forwarded and
//     never answered here; the sockets are closed when both have passed.
//   - A socket lost without a Close takes the other one with it, without a
//     Close.
//   - What the relay ends itself, by [Server.Drain] or for a violation, ends with a
//     Close whose reason has the tracking id.
//   - Pings are answered here. An answer never waits for the opposite
//     direction's data, and a direction holds at most Server.Buffer bytes.
//
// What nobody outside Azure knows of the service is a field of [Server] each, with
// both behaviours.
//
// Frames are read and written by hand (RFC 6455 section 5), so that the
// package shares no blind spot with a client library. It checks tokens as the
// service does, but it is not hardened: never put it in front of anything real.
package fakerelay

package forwarder

import (
	"context"
	"log/slog"
	"net"
)

// DialFunc opens the remote half of one connection. Whoever called it closes the
// returned connection; closing it before its CloseWrite must look to the target like
// a connection that broke off. What it may have besides net.Conn's methods is
// [HalfCloser], [EndTeller], [TargetTeller] and [ReadWaiter]; what its error may have,
// [Reasoner] and [LogAttrer].
type DialFunc func(ctx context.Context, req Request) (net.Conn, error)

// Request says what to dial.
type Request struct {
	// Target is that of the Listener that accepted the connection.
	Target string
	// ID is the connection's id, as it stands in the log.
	ID string
	// NoRetry is closed when the app has ended its stream without a byte: a dial may
	// finish its attempt in progress but make no further one.
	NoRetry <-chan struct{}
}

// HalfCloser passes an end of stream on, while the other direction goes on. It is
// called once, when the peer's stream has ended. A remote half without it does not
// let its target learn that the app has ended; an app's connection is a
// *net.TCPConn, which has it.
type HalfCloser interface{ CloseWrite() error }

// EndTeller says whether the remote side, whose stream has ended, reads on. It is
// called once Read has returned io.EOF. False, or a remote half without it, leaves
// that open: an end without a byte then looks like a target that was not reached.
type EndTeller interface{ HalfClosed() bool }

// TargetTeller says whether the remote side is known to have reached its target. It is
// called when the remote stream has ended without a byte. False, or a remote half
// without it, leaves that open.
type TargetTeller interface{ Reached() bool }

// ReadWaiter waits until Read has something to return, or returns the error with which
// reading ends. It is called before each Read, so that a connection which waits holds
// no buffer; a remote half without it holds one from its first Read to its end.
type ReadWaiter interface{ WaitReadable() error }

// Reasoner is an error with a label, one of a fixed set, for logs and metrics. It is
// asked when a dial has failed, to tell failures apart that repeat; errors without it
// count as one kind.
type Reasoner interface {
	error
	Reason() string
}

// LogAttrer is an error whose attributes join the connection's log line. It is asked
// when that line is written; an error without it is logged as its text alone.
type LogAttrer interface {
	error
	LogAttrs() []slog.Attr
}

package relayclient

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// Opening is what is said over a new tunnel before it is the app's, for
// listeners that expect more than raw bytes: [Azbridge] and [Aztunnel].
type Opening interface {
	// open says it over c and reads the answer, without taking a byte too many. Id is the
	// Request's.
	open(c *Conn, id string) (opened, error)
}

// opened is what an opening learnt of the listener.
type opened struct {
	reached    bool // it has reached its target
	closesBoth bool // it takes the first Close for the end of both directions
	message    int  // bytes that it takes in one message; 0 = as many as we send
}

// openingTimeout bounds the listener's answer. Azbridge has no bound of its own;
// aztunnel dials its target first and gives that 30 s unless it is told otherwise.
const openingTimeout = 20 * time.Second

// What [DialError.Reason] says of an opening that failed without an answer.
const (
	reasonNoAnswer      = "opening_no_answer"
	reasonNotUnderstood = "opening_not_understood"
)

// openingError is a listener that would not open.
type openingError struct {
	reason, text string
	err          error // nil, or ErrAttemptTimeout
}

func (e *openingError) Error() string { return "relayclient: " + e.text }

func (e *openingError) Unwrap() error { return e.err }

// performOpening performs the opening of req over conn, and closes conn where that
// fails. Nothing is tried again: a listener has taken the connection.
func (c *Client) performOpening(ctx context.Context, conn *Conn, req Request) *DialError {
	if req.Opening == nil {
		return nil
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, openingTimeout)
	defer cancel()
	var learnt opened
	err := within(ctx, conn, c.guarded, func() (err error) {
		learnt, err = req.Opening.open(conn, req.ID)
		return err
	})
	if err == nil {
		conn.noteOpening(learnt)
		return nil
	}
	conn.Close()
	e := &DialError{Entity: req.Entity, Host: c.address(), Stage: StageOpening, Err: err}
	switch _, told := errors.AsType[*openingError](err); {
	case caller.Err() == context.Canceled:
		e.Err, e.cancelled = context.Cause(caller), true
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		e.Err = &openingError{reasonNoAnswer, "the listener took the connection and did not answer the opening message", ErrAttemptTimeout}
	case !told:
		e.Err = &openingError{reason: reasonNoAnswer, text: "the tunnel broke off before the listener had answered: " + err.Error()}
	}
	return e
}

// notUnderstood is an answer that the kind of listener never gives.
func notUnderstood(kind string) error {
	return &openingError{reason: reasonNotUnderstood, text: "what came back is not " + kind + "'s answer"}
}

// ended reports whether the far side ended its stream in order.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

package fakerelay

import (
	"net/http"
	"net/url"
	"time"
)

// Connect is a sender's request to connect, as it came.
type Connect struct {
	Entity  string // its path, or what was asked for if there is no such entity
	ID      string // sb-hc-id, or the one given to a request without
	Attempt int    // 1 for the first connect to this entity, and so on
	Header  http.Header
	Query   url.Values
}

// Fault is what goes wrong with one sender's connection. The zero value is no
// fault. Counts of bytes are of payload towards the sender; a negative count
// means at once, after the 101.
type Fault struct {
	Delay       time.Duration // before the request is looked at
	NeverAnswer bool          // keep the sender waiting until it goes away
	Garbage     []byte        // sent instead of an HTTP response, then the connection is closed

	Status     int           // answer with this status instead
	Phrase     string        // of Status; TrackingId, SystemTracker and Timestamp are appended
	Bare       bool          // append nothing to Phrase
	RetryAfter time.Duration // adds Retry-After, in whole seconds
	Header     http.Header   // added to any answer, the 101 included

	DropAfter     int64 // drop both sockets after this many bytes, between two frames
	TruncateAfter int64 // drop both sockets after this many bytes, in the middle of a frame
	Reset         bool  // a drop is a TCP reset; bytes just sent may be lost
	CloseAfter    int64 // send Close after this many bytes and nothing more
	CloseCode     int   // 0 = 1011
	CloseReason   string

	NoPong    bool          // pings are not answered
	DelayPong time.Duration // pings are answered late
	PingEvery time.Duration // the relay pings the sender

	Fragment      int  // frames of at most this many bytes
	Merge         bool // all messages become one, ended when the listener closes
	EmptyMessages bool // an empty message before every message
	TextMessages  bool // messages are of type text, whatever they hold
}

func (f Fault) dropAt() int64 {
	if f.TruncateAfter != 0 {
		return f.TruncateAfter
	}
	return f.DropAfter
}

func (f Fault) closeCode() int {
	if f.CloseCode == 0 {
		return 1011
	}
	return f.CloseCode
}

// shapes reports whether the frames towards the sender are altered.
func (f Fault) shapes() bool {
	return f.dropAt() != 0 || f.CloseAfter != 0 || f.Fragment > 0 || f.Merge || f.EmptyMessages || f.TextMessages
}

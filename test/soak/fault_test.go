package soak_test

import (
	"math/rand/v2"
	"time"

	"hyco-sidecar/test/fakerelay"
)

// effect is what a fault may do to a connection.
type effect int

const (
	unseen   effect = iota // all goes well all the same
	retried                // the dial is tried again, unless the app gave up meanwhile
	breaking               // the connection may break, or never come about
)

// fault is what goes wrong at the relay for one connection.
type fault struct {
	kind     string
	effect   effect
	attempts int // how many attempts to connect meet it; 0 = all
	fakerelay.Fault
}

// drawFault takes one, or none, for a connection that carries size bytes to the
// app.
func drawFault(r *rand.Rand, size int64, long bool) fault {
	kind := pick(r, map[string]int{
		"none": 45, "delay": 5, "fragment": 4, "merge": 4, "empty messages": 4, "text messages": 4, "pings": 4, "late pong": 3, "no pong": 3,
		"refused once": 6, "refused": 3, "garbage": 2, "drop": 4, "truncate": 4, "reset": 3, "close 1011": 3, "never answered": 1, "unavailable": 1,
	})
	if !long && (kind == "never answered" || kind == "unavailable") {
		kind = "none"
	}
	at := int64(-1) // at once
	if size > 0 && r.IntN(8) > 0 {
		at = 1 + r.Int64N(size)
	}
	f := fault{kind: kind}
	switch kind {
	case "delay":
		f.Delay = time.Duration(r.IntN(3000)) * time.Millisecond
	case "fragment":
		f.Fragment = 1 + int(size/2000) + r.IntN(2000)
	case "merge":
		f.Merge = true
	case "empty messages":
		f.EmptyMessages = true
	case "text messages":
		f.TextMessages = true
	case "pings":
		f.PingEvery = time.Duration(1+r.IntN(50)) * time.Millisecond
	case "late pong":
		f.DelayPong = time.Duration(r.IntN(3000)) * time.Millisecond
	case "no pong":
		f.effect, f.NoPong = breaking, true
	case "refused once":
		f.effect, f.attempts = retried, 1
		f.Status = []int{404, 408, 429, 500, 502, 503, 504}[r.IntN(7)]
		f.Phrase = "The service is busy"
		if f.Status == 429 {
			f.RetryAfter = time.Second
		}
	case "refused":
		f.effect = breaking
		f.Status, f.Phrase = []int{400, 401, 403, 404}[r.IntN(4)], "Endpoint does not exist"
	case "garbage":
		f.effect = breaking
		f.Garbage = [][]byte{[]byte("220 mail.corp.example ready\r\n"), []byte("HTTP/1.1 200 OK\r\n\r\nhello"), make([]byte, 5000)}[r.IntN(3)]
	case "drop":
		f.effect, f.DropAfter = breaking, at
	case "truncate":
		f.effect, f.TruncateAfter = breaking, at
	case "reset":
		f.effect, f.DropAfter, f.Reset = breaking, at, true
	case "close 1011":
		f.effect, f.CloseAfter, f.CloseCode, f.CloseReason = breaking, at, 1011, "Internal error"
	case "never answered":
		f.effect, f.attempts, f.NeverAnswer = breaking, 1, true
	case "unavailable":
		f.effect, f.Status, f.Phrase = breaking, 503, "The service is busy"
	}
	return f
}

// cutAt is after how many bytes towards the app the relay cuts the tunnel, or -1.
func (f fault) cutAt() int64 {
	for _, at := range []int64{f.DropAfter, f.TruncateAfter, f.CloseAfter} {
		if at != 0 {
			return max(at, 0)
		}
	}
	return -1
}

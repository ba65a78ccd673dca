package soak_test

import "time"

// ended is how one side of a connection ended its own direction.
type ended string

const (
	notEnded ended = "not"
	inOrder  ended = "in order" // with an end of stream, or with a close when all was read
	abruptly ended = "abruptly" // with a close while bytes were unread or to come, which may become a reset
	byReset  ended = "by a reset"
	failing  ended = "failing" // a write failed
)

// saw is what one side saw of the other's end.
type saw string

const (
	nothing     saw = "nothing" // it left before
	endOfStream saw = "an end of stream"
	breakage    saw = "a broken connection"
	silence     saw = "silence" // until the test gave up
)

// half is what one side of a connection did and saw.
type half struct {
	size  int64 // bytes it was to send
	sent  int64
	ended ended
	first bool // it ended its direction before it saw the other end

	got     int64
	wrongAt int64 // position of the first wrong byte received, or -1
	saw     saw

	begunAt  time.Time
	closedAt time.Time // when it closed fully; zero when it did not
	heardAt  time.Time // when the last byte or the other's end came
	writeErr error
	readErr  error
}

package soak_test

import (
	"math/rand/v2"
	"time"

	"hyco-sidecar/test/fakelistener"
)

// script is what one side of a connection does.
type script struct {
	size    int64 // bytes it sends
	chunk   int   // in writes of at most so many
	pauses  int   // at most so many, between writes
	quietAt int64 // after so many bytes it says nothing for quiet; 0 = never
	start   start // when it begins to send
	end     end   // what it does then
	resetAt int64 // bytes sent before end reset
	slow    bool  // it reads slowly
	deaf    bool  // it reads nothing, and resets in the end

	holdBack    bool // the second half of its bytes follows the other's end
	countsBytes bool // it closes when all bytes have come, for HCM passes no end on
}

// quiet outlasts what it takes the sidecar to find a relay dead that does not
// answer pings: HYCO_KEEPALIVE=1s and 10 s for the answer.
const quiet = 14 * time.Second

type start string

const (
	atOnce    start = "at once"
	afterSome start = "after the first byte"
	afterAll  start = "after all bytes"
	afterEnd  start = "after the other's end"
)

type end string

const (
	halfClose            end = "half-close"
	halfCloseLate        end = "half-close when all is received"
	halfCloseAfterTheirs end = "half-close after the other's end"
	closeLate            end = "close when all is received"
	closeEarly           end = "close at once"
	reset                end = "reset"
)

// plan is all that is decided about a connection before it is made. It follows
// from the seed and the connection's number.
type plan struct {
	number      int
	personality fakelistener.Personality
	app, target script
	refuse      bool // the target cannot be reached
	fault       fault
}

// draw makes the plan of connection number. Those that would take ten seconds
// and more are left out when long is false.
func draw(seed uint64, number int, personality fakelistener.Personality, long bool) plan {
	r := rand.New(rand.NewPCG(seed, uint64(number)))
	p := plan{number: number, personality: personality}
	p.app, p.target = drawScript(r), drawScript(r)
	p.app.end = pick(r, map[end]int{halfClose: 30, halfCloseLate: 20, closeLate: 20, closeEarly: 8, reset: 10, halfCloseAfterTheirs: 12})
	p.target.end = pick(r, map[end]int{halfClose: 25, closeLate: 40, halfCloseAfterTheirs: 15, closeEarly: 8, reset: 7})
	p.refuse = r.IntN(20) == 0
	p.fault = drawFault(r, p.target.size, long)
	if p.fault.kind == "no pong" && long {
		// Nothing but the ping tells that such a relay is dead.
		p.app.size, p.target.quietAt = 0, 1+p.target.size/2
	}
	p.order(r)
	for _, s := range []*script{&p.app, &p.target} {
		s.resetAt = r.Int64N(s.size + 1)
	}
	return p
}

// warmUp is a plan without surprises.
func warmUp(number int, personality fakelistener.Personality) plan {
	s := script{size: 4096, chunk: 4096, start: atOnce}
	p := plan{number: number, personality: personality, app: s, target: s, fault: fault{kind: "none"}}
	p.app.end, p.target.end = halfCloseLate, closeLate
	return p
}

func drawScript(r *rand.Rand) script {
	s := script{pauses: r.IntN(4), slow: r.IntN(8) == 0}
	switch n := r.IntN(10); {
	case n < 1:
	case n < 5:
		s.size = 1 + r.Int64N(4<<10)
	case n < 8:
		s.size = 1 + r.Int64N(256<<10)
	default:
		s.size = 1 + r.Int64N(4<<20)
	}
	s.chunk = []int{16, 1400, 16 << 10, 64 << 10, 256 << 10}[r.IntN(5)]
	s.chunk = max(s.chunk, int(s.size/2000)) // not millions of writes
	return s
}

// order settles who waits for whom, so that the two do not wait for each other.
func (p *plan) order(r *rand.Rand) {
	app, target := &p.app, &p.target
	hcm := p.personality == fakelistener.HCM

	if app.end == halfCloseAfterTheirs && (hcm || target.end == halfCloseAfterTheirs) {
		app.end = halfCloseLate
	}
	if app.end == halfCloseAfterTheirs {
		app.holdBack = target.end != closeLate && r.IntN(2) == 0
	}
	if hcm && target.end == halfCloseAfterTheirs {
		target.end = halfClose
	}
	target.countsBytes = hcm && target.end == halfClose

	// HCM does not tell of a target that has gone before the app ends by itself.
	hasty := hcm && (target.end == reset || target.end == closeEarly)
	if hasty && (app.end == halfCloseLate || app.end == closeLate) {
		app.end = halfClose
	}

	app.start, target.start = atOnce, atOnce
	switch r.IntN(4) {
	case 0: // the server speaks first
		if target.size > 0 && !hasty {
			app.start = afterSome
		}
	case 1:
		if app.size > 0 && !(app.holdBack && app.size < 2) {
			target.start = afterSome
		}
	case 2:
		if !app.holdBack {
			target.start = afterAll
		}
	case 3:
		if p.personality == fakelistener.HalfClose && app.end == halfClose {
			target.start = afterEnd
		}
	}
	// A reset that meets the sidecar as it waits to write.
	app.deaf = app.end == reset && app.start == atOnce && r.IntN(2) == 0
	// A target that takes longer over a little than the sidecar keeps the tunnel of
	// an app that has closed fully is cut off by design.
	if app.end == closeLate || app.end == closeEarly {
		target.slow = target.slow && app.size >= 1<<20
	}
}

// pick takes a key at random, by its weight.
func pick[K ~string](r *rand.Rand, weights map[K]int) K {
	keys := sortedKeys(weights)
	total := 0
	for _, k := range keys {
		total += weights[k]
	}
	n := r.IntN(total)
	for _, k := range keys {
		if n -= weights[k]; n < 0 {
			return k
		}
	}
	return keys[0] // not reached
}

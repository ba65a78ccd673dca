package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hyco-sidecar/test/bench/frame"
)

// scale is how much of everything a run measures.
type scale struct {
	// Throughput: bytes of the first transfer, and the CPU time that the ones
	// measured are to cost the forwarder; zero measures the first.
	probe int64
	cpu   time.Duration

	pings int // requests of one latency measurement

	sequential, parallel int // new connections, one after the other and 8 at once

	idle      int           // connections that are open and idle
	used      int           // connections that are idle after use
	usedBytes int64         // moved by each of these, each way
	rest      time.Duration // for which memory must not change before it counts

	stalled     int           // connections that stall, of each kind
	early, late time.Duration // when their memory is looked at
}

// full takes enough of everything for figures that are worth a comparison: CPU
// times have steps of 10 ms, so 0.3 s are known to a few per cent.
var full = scale{
	probe: 96 << 20, cpu: 550 * time.Millisecond,
	pings:      3000,
	sequential: 350, parallel: 560,
	idle: 5000, used: 1000, usedBytes: 1 << 20, rest: 2 * time.Second,
	stalled: 200, early: 10 * time.Second, late: 20 * time.Second,
}

var little = scale{
	probe:      2 << 20,
	pings:      50,
	sequential: 10, parallel: 40,
	idle: 200, used: 10, usedBytes: 1 << 17, rest: 250 * time.Millisecond,
	stalled: 10, early: 200 * time.Millisecond, late: 400 * time.Millisecond,
}

// bench is one run.
type bench struct {
	*frame.Run
	scale

	world   *world // of the measurement being taken
	payload *payload
}

// measure takes the chosen measurements.
func measure(ctx context.Context, r *frame.Run) error {
	b := &bench{Run: r, scale: full, payload: newPayload()}
	if r.Quick {
		b.scale = little
	}
	for _, m := range measurements {
		if !slices.Contains(r.Parts, m.name) {
			continue
		}
		b.Say("%s", m.name)
		if err := b.take(ctx, m); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// take takes one measurement in a world of its own: a relay that has moved
// gigabytes has other threads and another heap than one that has just started,
// which has changed the latencies after it by a third.
func (b *bench) take(ctx context.Context, m measurement) (err error) {
	if b.world, err = newWorld(ctx, far{}, b.Against); err != nil {
		return err
	}
	defer b.world.close()
	// Whatever the app waits for comes from one of these processes, so their end
	// ends every wait.
	defer context.AfterFunc(ctx, b.world.Kill)()
	return m.take(b, ctx)
}

package main

import (
	"context"
	"fmt"
	"time"

	"hyco-sidecar/test/bench/frame"
	"hyco-sidecar/test/fakelistener"
)

// roundTrip is the length of the way between a forwarder and what it dials.
const roundTrip = 30 * time.Millisecond

// measureFirstByte makes the way from the forwarder long and measures from the
// app's connect to the echo of its first byte. Every value is of a process of
// its own: of its first connection, or of its second.
func (b *bench) measureFirstByte(ctx context.Context) error {
	p384, err := b.world.startRelay(ctx, "p384")
	if err != nil {
		return err
	}
	far := make(map[string]string)
	for _, near := range []string{b.world.relay, p384, b.world.front} {
		if far[near], err = b.world.role(ctx, "delay", near, (roundTrip / 2).String()); err != nil {
			return err
		}
	}
	sidecar := func(relay, warm string) func() (*forwarder, error) {
		return func() (*forwarder, error) {
			return b.world.sidecar(ctx, far[relay], "HYCO_WARM_CONNECTIONS="+warm)
		}
	}
	baseline := func(relay, warm string) func() (*forwarder, error) {
		return func() (*forwarder, error) {
			return b.world.comparison(ctx, far[relay], far[b.world.front], "HYCO_WARM_CONNECTIONS="+warm)
		}
	}
	p384Baseline := baseline(p384, "0")
	if b.world.against == "" {
		p384Baseline = nil
	}

	for _, way := range []struct {
		name     string
		sidecar  func() (*forwarder, error)
		baseline func() (*forwarder, error) // nil = has nothing alike
		before   int                        // connections before the one that is measured
		must     frame.Bound
	}{
		{"cold, the first of a process", sidecar(b.world.relay, "0"), baseline(b.world.relay, "0"), 0, frame.Bound{AtMost: 4.3}},
		{"cold, TLS session resumed", sidecar(b.world.relay, "0"), baseline(b.world.relay, "0"), 1, frame.Bound{AtMost: 4.3}},
		{"cold, the second to a relay that takes P-384 only", sidecar(p384, "0"), p384Baseline, 1, frame.Bound{AtMost: 4.3}},
		{"warm (baseline: cold, TLS session resumed)", sidecar(b.world.relay, "1"), baseline(b.world.relay, "1"), 1, frame.Bound{AtMost: 2.3}},
	} {
		trips := b.Figure("round trips of 30 ms to the first byte, "+way.name, way.must)
		for round := range b.Rounds {
			for _, start := range []func() (*forwarder, error){way.sidecar, way.baseline} {
				if start == nil {
					continue
				}
				f, err := start()
				if err != nil {
					return err
				}
				took, err := f.firstByte(ctx, way.before)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", way.name, f.name, err)
				}
				b.Say("round %d, first byte, %s, %s: %.1f ms", round+1, way.name, f.name, float64(took.Microseconds())/1000)
				f.add(trips, float64(took)/float64(roundTrip))
				if err := f.end(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// firstByte is how long the first byte of a connection takes, there and back,
// that comes after some others.
func (f *forwarder) firstByte(ctx context.Context, before int) (time.Duration, error) {
	// After one connection a forwarder may make ready for the next.
	const pause = 10 * roundTrip
	for {
		began := time.Now()
		conn, err := open(ctx, f.addresses[fakelistener.HCM], opEcho)
		if err != nil {
			return 0, err
		}
		took := time.Since(began)
		defer conn.Close()
		if before == 0 {
			return took, nil
		}
		before--
		time.Sleep(pause)
	}
}

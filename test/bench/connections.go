package main

import (
	"context"
	"time"

	"hyco-sidecar/test/bench/frame"
	"hyco-sidecar/test/fakelistener"
)

// atOnce is how many connections are made at a time where it is not one.
const atOnce = 8

// oftener is how many rounds stand for one of the others: a machine's speed changes
// within seconds, and the two that are compared here take their turns for long.
const oftener = 3

// measureConnections makes connections that carry one byte each way and are
// closed by the app. The forwarders resume their TLS sessions, since there were
// connections before.
func (b *bench) measureConnections(ctx context.Context) error {
	sidecar, baseline, err := b.world.pair(ctx)
	if err != nil {
		return err
	}
	bare, err := b.world.sidecar(ctx, b.world.relay, "HYCO_WARM_CONNECTIONS=0")
	if err != nil {
		return err
	}
	bare.name += " without warm connections"
	bareBaseline := baseline
	all := []*forwarder{sidecar, baseline, bare}
	if b.world.against != "" { // an earlier sidecar has warm connections too
		if bareBaseline, err = b.world.comparison(ctx, b.world.relay, "", "HYCO_WARM_CONNECTIONS=0"); err != nil {
			return err
		}
		bareBaseline.name += " without warm connections"
		all = append(all, bareBaseline)
	}
	for _, f := range all {
		if _, _, err := f.churn(ctx, b.sequential/4, 1); err != nil {
			return err
		}
	}
	for _, way := range []struct {
		name          string
		count, atOnce int
	}{
		{"one after the other", b.sequential, 1},
		{"8 at once", b.parallel, atOnce},
	} {
		rate := b.Figure("new connections per second, "+way.name, frame.Bound{})
		cpu := b.Figure("CPU per new connection, "+way.name+", ms", frame.Bound{RatioAtMost: 1.3})
		bareRate := b.Figure("new connections per second, "+way.name+", no warm ones", frame.Bound{})
		bareCPU := b.Figure("CPU per new connection, "+way.name+", no warm ones, ms", frame.Bound{})
		for round := range oftener * b.Rounds {
			for _, f := range all {
				perSecond, each, err := f.churn(ctx, way.count, way.atOnce)
				if err != nil {
					return err
				}
				b.Say("round %d, connections %s, %s: %.0f per second, %.2f ms of CPU each", round+1, way.name, f.name, perSecond, each)
				if f == sidecar || f == baseline {
					f.add(rate, perSecond)
					f.add(cpu, each)
				}
				if f == bare || f == bareBaseline {
					f.add(bareRate, perSecond)
					f.add(bareCPU, each)
				}
			}
		}
	}
	return endAll(all...)
}

// churn makes count connections and returns how many it made a second and how
// many milliseconds of CPU each cost the forwarder, with its end.
func (f *forwarder) churn(ctx context.Context, count, atOnce int) (perSecond, cpu float64, err error) {
	before, err := f.CPU()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	err = each(count, atOnce, func(int) error {
		// Through the listener that passes every end on: an HCM keeps the
		// connection for seconds after the app has left.
		conn, err := open(ctx, f.addresses[fakelistener.HalfClose], opEcho)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return 0, 0, err
	}
	took := time.Since(began)
	after, err := f.quietCPU()
	return float64(count) / took.Seconds(), float64((after - before).Microseconds()) / 1000 / float64(count), err
}

// quietCPU is the CPU time that f has used when it has come to rest.
func (f *forwarder) quietCPU() (time.Duration, error) {
	const rest, most = 200 * time.Millisecond, 5 * time.Second
	deadline := time.Now().Add(most)
	for {
		before, err := f.CPU()
		if err != nil {
			return 0, err
		}
		time.Sleep(rest)
		after, err := f.CPU()
		if err != nil || after == before || time.Now().After(deadline) {
			return after, err
		}
	}
}

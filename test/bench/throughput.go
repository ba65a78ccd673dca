package main

import (
	"context"
	"net"
	"time"

	"hyco-sidecar/test/bench/frame"
	"hyco-sidecar/test/fakelistener"
)

// flow is one kind of transfer.
type flow struct {
	name  string
	op    byte // of the target
	move  func(conn net.Conn, p *payload, n int64) error
	conns int
	kind  fakelistener.Personality
}

// flows are what is measured. Upwards the sidecar makes the messages; downwards
// the listener does, of 16 KiB where it is an HCM.
var flows = []flow{
	{"up, 1 connection", opSink, upload, 1, fakelistener.HCM},
	{"up, 16 connections", opSink, upload, 16, fakelistener.HCM},
	{"down, 1 connection", opSource, download, 1, fakelistener.HCM},
	{"down, 16 connections", opSource, download, 16, fakelistener.HCM},
	{"down, 16 connections, messages of 64 KiB", opSource, download, 16, fakelistener.HalfClose},
}

// transfer is what one flow came to.
type transfer struct {
	bytes int64
	took  time.Duration
	cpu   time.Duration // of the forwarder
}

func (t transfer) perSecond() float64    { return float64(t.bytes) / 1e6 / t.took.Seconds() }
func (t transfer) perCPUSecond() float64 { return float64(t.bytes) / 1e6 / t.cpu.Seconds() }

// measureThroughput moves bytes from the app to the target or back.
func (b *bench) measureThroughput(ctx context.Context) error {
	sidecar, baseline, err := b.world.pair(ctx)
	if err != nil {
		return err
	}
	for _, w := range flows {
		perSecond := b.Figure("MB/s "+w.name, frame.Bound{})
		perCPUSecond := b.Figure("MB per CPU-second "+w.name, frame.Bound{RatioAtLeast: 0.75})
		size := make(map[*forwarder]int64)
		for _, f := range []*forwarder{sidecar, baseline} {
			first, err := b.transfer(ctx, f, w, b.probe)
			if err != nil {
				return err
			}
			size[f] = b.enoughBytes(first)
		}
		for round := range b.Rounds {
			for _, f := range []*forwarder{sidecar, baseline} {
				t, err := b.transfer(ctx, f, w, size[f])
				if err != nil {
					return err
				}
				b.Say("round %d, %s, %s: %.0f MB, %.0f MB/s, %.0f MB per CPU-second",
					round+1, w.name, f.name, float64(t.bytes)/1e6, t.perSecond(), t.perCPUSecond())
				f.add(perSecond, t.perSecond())
				f.add(perCPUSecond, t.perCPUSecond())
			}
		}
	}
	return endAll(sidecar, baseline)
}

// enoughBytes is how many bytes cost the forwarder the CPU time wanted, judging by
// the first transfer.
func (b *bench) enoughBytes(first transfer) int64 {
	if b.cpu == 0 {
		return first.bytes
	}
	const most = 2 << 30 // where the first transfer cost less than a tick
	return int64(min(float64(first.bytes)*b.cpu.Seconds()/first.cpu.Seconds(), most))
}

// transfer moves size bytes over the flow's connections together. The time that
// these take to be made is not measured.
func (b *bench) transfer(ctx context.Context, f *forwarder, w flow, size int64) (transfer, error) {
	conns, err := openAll(ctx, f.addresses[w.kind], w.op, w.conns)
	defer closeAll(conns)
	if err != nil {
		return transfer{}, err
	}
	share := size / int64(w.conns)
	before, err := f.CPU()
	if err != nil {
		return transfer{}, err
	}
	began := time.Now()
	if err := each(w.conns, w.conns, func(i int) error { return w.move(conns[i], b.payload, share) }); err != nil {
		return transfer{}, err
	}
	took := time.Since(began)
	after, err := f.CPU()
	return transfer{share * int64(w.conns), took, after - before}, err
}

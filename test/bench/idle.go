package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"time"

	"hyco-sidecar/test/bench/frame"
	"hyco-sidecar/test/fakelistener"
)

// measureIdle opens connections that do nothing more once each has carried a
// little, or a lot, and looks at what a forwarder keeps for each. The forwarders
// are fresh ones, since memory that was needed once is given back slowly.
func (b *bench) measureIdle(ctx context.Context) error {
	for _, way := range []struct {
		name  string
		count int
		bytes int64 // there and back, by each connection
		must  frame.Bound
		times int // a gigabyte each way takes its time
	}{
		{fmt.Sprintf("memory per idle connection, %d open, KiB", b.idle), b.idle, 100, frame.Bound{AtMost: 32, RatioAtMost: 1}, b.Rounds},
		{fmt.Sprintf("the same for %d that have moved %.1f MB each way, KiB", b.used, float64(b.usedBytes)/1e6),
			b.used, b.usedBytes, frame.Bound{}, max(1, b.Rounds/3)},
	} {
		perConn := b.Figure(way.name, way.must)
		for round := range way.times {
			sidecar, baseline, err := b.world.pair(ctx)
			if err != nil {
				return err
			}
			pair := []*forwarder{sidecar, baseline}
			took, err := b.measureResting(ctx, pair, way.count, way.bytes)
			if err != nil {
				return err
			}
			b.Say("round %d, %d idle connections: sidecar %.1f KiB each, baseline %.1f KiB", round+1, way.count, took[0], took[1])
			for i, f := range pair {
				f.add(perConn, took[i])
			}
			if err := endAll(pair...); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureResting is the memory, in KiB, that each of count connections takes in each of
// the forwarders when all have moved n bytes there and back and are idle.
func (b *bench) measureResting(ctx context.Context, forwarders []*forwarder, count int, n int64) ([]float64, error) {
	fill := func(f *forwarder, count int) ([]*net.TCPConn, error) {
		// Through the listener that passes every end on, so that nothing is left
		// of them on the far side.
		conns, err := openAll(ctx, f.addresses[fakelistener.HalfClose], opEcho, count)
		if err == nil {
			err = each(count, atOnce, func(i int) error { return b.exchange(conns[i], n) })
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", f.name, err)
		}
		return conns, err
	}
	for _, f := range forwarders {
		// The first connection brings in what all of them share.
		conns, err := fill(f, 1)
		closeAll(conns)
		if err != nil {
			return nil, err
		}
	}
	before, err := quietResident(forwarders, b.rest)
	if err != nil {
		return nil, err
	}
	for _, f := range forwarders {
		conns, err := fill(f, count)
		defer closeAll(conns)
		if err != nil {
			return nil, err
		}
	}
	after, err := quietResident(forwarders, b.rest)
	if err != nil {
		return nil, err
	}
	perConn := make([]float64, len(forwarders))
	for i := range forwarders {
		perConn[i] = float64(after[i]-before[i]) / 1024 / float64(count)
	}
	return perConn, nil
}

// exchange moves n bytes through an echo and compares them.
func (b *bench) exchange(conn net.Conn, n int64) error {
	type sent struct {
		sum uint32
		err error
	}
	there := make(chan sent, 1)
	go func() {
		sum, err := b.payload.send(conn, b.payload.somewhere(), n)
		if err != nil {
			conn.Close() // what is awaited does not come
		}
		there <- sent{sum, err}
	}()
	back, err := receive(conn, n, make([]byte, min(n, readSize)))
	if err != nil {
		conn.Close()
	}
	s := <-there
	switch {
	case s.err != nil:
		return s.err
	case err != nil:
		return err
	case back != s.sum:
		return fmt.Errorf("%w: %d bytes were sent with %08x and came back with %08x", errChecksum, n, s.sum, back)
	}
	return nil
}

// quietResident is the memory that each of the forwarders holds when all have
// come to rest: when none has changed by more than 1 % for the time given.
func quietResident(forwarders []*forwarder, rest time.Duration) ([]int64, error) {
	const (
		step  = 100 * time.Millisecond
		most  = 20 * time.Second // then it is what it is
		slack = 0.01
	)
	resident := make([]int64, len(forwarders)) // now
	settled := make([]int64, len(forwarders))  // when the rest began
	began := time.Now()
	since := began
	for {
		for i, f := range forwarders {
			var err error
			if resident[i], err = f.Resident(); err != nil {
				return nil, err
			}
			if math.Abs(float64(resident[i]-settled[i])) > slack*float64(settled[i]) {
				copy(settled, resident)
				since = time.Now()
			}
		}
		if time.Since(since) >= rest || time.Since(began) >= most {
			return resident, nil
		}
		time.Sleep(step)
	}
}

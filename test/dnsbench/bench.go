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
	turns int           // of every server within a round, with a full load and with half of one
	each  time.Duration // how long one takes
}

// CPU times have steps of 10 ms, so those of a round are known to 2 %.
var (
	ordinary = scale{turns: 3, each: 500 * time.Millisecond}
	little   = scale{turns: 1, each: 100 * time.Millisecond}
)

// Columns of the table. An earlier sidecar, where one is compared with, is in
// dnsmasq's place and the last.
const (
	sidecar = iota
	dnsmasq
	unbound
)

// bench is one run.
type bench struct {
	*frame.Run
	scale
	world *world
}

// measure takes the chosen workloads.
func measure(ctx context.Context, r *frame.Run) (err error) {
	b := &bench{Run: r, scale: ordinary}
	if r.Quick {
		b.scale = little
	}
	tools, err := findTools()
	if err != nil {
		return err
	}
	if r.Versions, err = tools.versions(ctx); err != nil {
		return err
	}
	if b.world, err = newWorld(ctx, tools, r.Against); err != nil {
		return err
	}
	defer b.world.close()
	// Whatever is waited for comes from one of these processes, so their end
	// ends every wait.
	defer context.AfterFunc(ctx, b.world.Kill)()
	for _, w := range workloads {
		if !slices.Contains(r.Parts, w.name) {
			continue
		}
		if err := b.take(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// figures are the lines of one workload.
type figures struct {
	perSecond, perCPUSecond, p50, p99, lost, memory *frame.Figure
}

func (b *bench) figures(w workload) figures {
	return figures{
		perSecond:    b.Figure(w.title+": queries/s", frame.Bound{}),
		perCPUSecond: b.Figure(w.title+": queries per CPU-second", frame.Bound{RatioAtLeast: w.atLeast}),
		p50:          b.Figure(w.title+": p50 at half of dnsmasq's queries/s, µs", frame.Bound{}),
		p99:          b.Figure(w.title+": p99 at half of dnsmasq's queries/s, µs", frame.Bound{RatioAtMost: 1}),
		lost:         b.Figure(w.title+": lost of 10,000", frame.Bound{AtMost: 1}),
		memory:       b.Figure(w.title+": memory afterwards, MiB", frame.Bound{}),
	}
}

// take measures one workload with fresh servers. Within a round all are given as
// much as they take, and then half of what dnsmasq took.
func (b *bench) take(ctx context.Context, w workload) error {
	servers, err := b.world.servers(ctx)
	if err != nil {
		return err
	}
	f := b.figures(w)
	for round := range b.Rounds {
		full, err := b.turns(ctx, servers, w, load{outstanding: 100})
		if err != nil {
			return err
		}
		// More questions at a time, so that whoever pauses has them all wait.
		half, err := b.turns(ctx, servers, w, load{outstanding: 150, rate: max(1, full[dnsmasq].perSecond()/2)})
		if err != nil {
			return err
		}
		for i, s := range servers {
			memory, err := s.Resident()
			if err != nil {
				return err
			}
			p50, p99 := half[i].latency(0.50), half[i].latency(0.99)
			b.Say("round %d, %s, %s: %.0f queries/s, %.0f per CPU-second, %d lost; at %.0f queries/s p50 %.0f µs, p99 %.0f µs, %d lost",
				round+1, w.name, s.name, full[i].perSecond(), full[i].perCPUSecond(), full[i].lost, half[i].perSecond(), p50, p99, half[i].lost)
			f.perSecond.Add(i, full[i].perSecond())
			f.perCPUSecond.Add(i, full[i].perCPUSecond())
			f.p50.Add(i, p50)
			f.p99.Add(i, p99)
			f.lost.Add(i, 1e4*float64(full[i].lost+half[i].lost)/float64(full[i].sent+half[i].sent))
			f.memory.Add(i, float64(memory)/(1<<20))
		}
	}
	return b.world.end(servers)
}

// turns gives every server some turns of the load, all with the same questions
// and each time another one first, and makes sure that all tell the truth.
func (b *bench) turns(ctx context.Context, servers []*server, w workload, l load) ([]outcome, error) {
	all := make([]outcome, len(servers))
	for turn := range b.scale.turns {
		questions, err := b.world.questions(w, l, b.each)
		if err != nil {
			return nil, err
		}
		for i := range servers {
			i = (i + turn) % len(servers)
			if w.hits > 0 {
				if err := b.world.ask(ctx, servers[i], b.world.names.hits); err != nil {
					return nil, err
				}
			}
			o, err := b.world.dnsperf(ctx, servers[i], questions, l, b.each)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", servers[i].name, err)
			}
			all[i].add(o)
		}
	}
	for _, s := range servers {
		if err := b.world.checkAnswers(ctx, s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Package soak_test wears the real hyco-sidecar down: many apps at once connect
// through it, by a stand-in relay with faults and listeners that come and go, to
// targets that are as wayward as the apps, and every byte is checked at both
// ends.
//
// Each connection follows a plan (plan_test.go, fault_test.go), which its number
// and the seed determine. What its two ends did and saw (side_test.go) is judged
// by one pure function (verdict_test.go), which knows what each fault and each
// kind of listener may lead to.
package soak_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	duration = flag.Duration("duration", 20*time.Second, "how long TestSoak makes new connections")
	seedFlag = flag.Uint64("seed", 0, "what TestSoak's plans are made from; 0 takes the clock")
)

const (
	lanes = 40
	// maxTroubles ends a run in which more is wrong than one mistake.
	maxTroubles = 5
	// longTime is what the slowest plans take. None begins closer to the end.
	longTime = 15 * time.Second
	// restTime is longer than a sidecar's goroutines wait for work before they
	// end (forwarder's dial workers: a second).
	restTime = 2 * time.Second
)

func TestSoak(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, for %v", seed, *duration)
	program := buildSidecar(t)
	s := newSite(t, lanes)

	k := &soak{seed: seed, site: s, tally: newTally(), t: t}
	leastDescriptors, leastGoroutines := k.measure(program)

	// One sidecar ends as an orchestrator ends it, the other with a list of its
	// goroutines.
	a := startSidecar(t, program, s, s.lanes[:lanes/2])
	b := startSidecar(t, program, s, s.lanes[lanes/2:])
	k.run(a, b)
	t.Log(k.tally)
	if k.tally.mostlyStarved() {
		t.Error("the kernel lacks memory for TCP, and this run proves little")
	}

	if k.troubles.Load() == 0 {
		for _, c := range []*sidecar{a, b} {
			k.settle(c, leastDescriptors)
		}
		pause(t.Context(), restTime)
		if code, err := a.terminate(); err != nil || code != 0 {
			t.Errorf("after SIGTERM: exit code %d, %v", code, err)
		}
		if stacks, err := b.goroutines(); err != nil || len(stacks) > leastGoroutines {
			t.Errorf("%d goroutines in the end, %d after the first connections: %v\n%s",
				len(stacks), leastGoroutines, err, strings.Join(stacks, "\n\n"))
		}
	}
	for _, c := range []*sidecar{a, b} {
		k.checkAccount(c.journal.account())
	}
}

// soak is one run.
type soak struct {
	t        *testing.T
	seed     uint64
	site     *site
	tally    *tally
	troubles atomic.Int64
}

// measure returns how many descriptors and goroutines a sidecar has that has
// served its first connections. What those make once, such as a poller, is no
// leak.
func (k *soak) measure(program string) (descriptors, goroutines int) {
	k.t.Helper()
	c := startSidecar(k.t, program, k.site, k.site.lanes[lanes/2:])
	var workers sync.WaitGroup
	for i, l := range c.lanes {
		workers.Go(func() { k.connect(c, i, warmUp(i, l.personality)) })
	}
	workers.Wait()
	k.awaitIdle(c)
	// The least for a while: what is being closed does not count.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := range int(restTime / (50 * time.Millisecond)) {
		n, err := c.Descriptors()
		if err != nil {
			k.t.Fatal(err)
		}
		if i == 0 || n < descriptors {
			descriptors = n
		}
		<-tick.C
	}
	stacks, err := c.goroutines()
	if err != nil {
		k.t.Fatal(err)
	}
	k.checkAccount(c.journal.account())
	return descriptors, len(stacks)
}

// run lets all lanes work until the time is over.
func (k *soak) run(sidecars ...*sidecar) {
	ctx, cancel := context.WithTimeout(k.t.Context(), *duration)
	defer cancel()
	deadline, _ := ctx.Deadline()
	var workers sync.WaitGroup
	for part, c := range sidecars {
		for i, l := range c.lanes {
			workers.Go(func() {
				for n := part*lanes/2 + i + lanes; ctx.Err() == nil && k.troubles.Load() < maxTroubles; n += lanes {
					k.connect(c, i, draw(k.seed, n, l.personality, time.Until(deadline) > longTime))
				}
			})
		}
	}
	workers.Go(func() { k.disturb(ctx) })
	workers.Wait()
}

// connect makes one connection through c.
func (k *soak) connect(c *sidecar, i int, p plan) {
	one := &connection{plan: p, seed: k.seed, starved: tcpStarvation()}
	o, err := one.run(c, i)
	if err != nil {
		k.troubles.Add(1)
		k.t.Errorf("seed %d: %v\n%v", k.seed, err, o)
	}
	k.tally.add(o)
}

// disturb takes listeners away, and now and then the relay, until ctx ends.
func (k *soak) disturb(ctx context.Context) {
	r := rand.New(rand.NewPCG(k.seed, 0))
	for n := 1; pause(ctx, 2*time.Second+time.Duration(r.Int64N(int64(3*time.Second)))); n++ {
		length := time.Duration(r.Int64N(int64(time.Second)))
		// What was begun is brought to an end, for the connections that go on.
		whole := context.WithoutCancel(ctx)
		kind, lose := "relay", func() error { return k.site.loseRelay(whole, length) }
		if n%3 != 2 {
			some := slices.Clone(k.site.lanes)
			r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			some = some[:1+r.IntN(lanes/4)]
			kind, lose = "listeners", func() error { return k.site.loseListeners(whole, some, length) }
		}
		if err := lose(); err != nil {
			k.troubles.Add(maxTroubles)
			k.t.Errorf("after an outage of %s: %v", kind, err)
			return
		}
		k.tally.outage(kind)
	}
}

// awaitIdle waits until no tunnel is open and the sidecar has logged every end.
func (k *soak) awaitIdle(c *sidecar) {
	k.t.Helper()
	if err := poll(k.t.Context(), "no tunnel is open and every end is logged", func() bool {
		return k.site.server.Connections() == 0 && len(c.journal.account().open) == 0
	}); err != nil {
		k.t.Errorf("%v: %d tunnels; never closed: %q", err, k.site.server.Connections(), c.journal.account().open)
	}
}

// settle waits until the sidecar has given back what connections took.
func (k *soak) settle(c *sidecar, least int) {
	k.t.Helper()
	k.awaitIdle(c)
	n := 0
	if err := poll(k.t.Context(), "no more descriptors than after the first connections", func() (enough bool) {
		var err error
		n, err = c.Descriptors()
		return err == nil && n <= least
	}); err != nil {
		k.t.Errorf("%v: %d open, %d then", err, n, least)
	}
}

// checkAccount looks for what must not be in a log.
func (k *soak) checkAccount(a account) {
	k.t.Helper()
	switch {
	case a.alarms():
		k.t.Errorf("race or panic:\n%s", a.other)
	case a.accepted != a.closed || len(a.open) > 0:
		k.t.Errorf("%d connections were accepted, %d ends logged; never closed: %q", a.accepted, a.closed, a.open)
	case len(a.notable) > 0:
		k.t.Errorf("logged: %q", a.notable)
	}
}

// poll asks until holds says yes.
func poll(ctx context.Context, what string, holds func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", patience, what)
		}
	}
	return nil
}

// pause waits and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

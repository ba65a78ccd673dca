package soak_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// tally counts what the soak has met.
type tally struct {
	mu          sync.Mutex
	connections int
	bytes       int64
	outages     map[string]int
	faults      map[string]int
	causes      map[string]int // as logged
	personality map[string]int
	whole       int // connections of which both directions arrived whole
	starved     int // connections of which next to nothing can be said
}

func newTally() *tally {
	return &tally{outages: map[string]int{}, faults: map[string]int{}, causes: map[string]int{}, personality: map[string]int{}}
}

func (t *tally) add(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connections++
	t.bytes += o.bytes
	t.faults[o.plan.fault.kind]++
	t.causes[o.line.Cause]++
	t.personality[string(o.plan.personality)]++
	if f := &o.facts; f.app.got == f.target.size && f.target.got == f.app.size {
		t.whole++
	}
	if o.facts.starved {
		t.starved++
	}
}

func (t *tally) outage(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outages[kind]++
}

// mostlyStarved reports whether so many connections may have been broken by the
// kernel that the others prove little: more than one in twenty.
func (t *tally) mostlyStarved() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.starved*20 > t.connections
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d connections (%s), %d of them whole, %d starved; %d MB checked; outages: %s; faults: %s; ends: %s",
		t.connections, counts(t.personality), t.whole, t.starved, t.bytes/1e6, counts(t.outages), counts(t.faults), counts(t.causes))
}

func counts(by map[string]int) string {
	var parts []string
	for _, k := range sortedKeys(by) {
		parts = append(parts, fmt.Sprintf("%d %s", by[k], k))
	}
	return strings.Join(parts, ", ")
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}

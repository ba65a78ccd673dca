//go:build linux

package e2e_test

import (
	"slices"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// ownNamesInBlackHoles has every client ask for a name of ours while none of the
// upstreams answers, and while other lookups hang for that reason. These must
// not end in "there is no such name", which an app would believe.
func (m *matrix) ownNamesInBlackHoles(t *testing.T) {
	m.resolvConf(t, "")
	for _, c := range named(m.clients, "glibc", "musl", "Go") {
		t.Run(c.name+" waits", func(t *testing.T) {
			c.prepare(t, m.World)
			p := c.begin(t, m.World, forwardedName)
			t.Parallel() // the rest comes after the other clients
			p.Wait(t, world.Patience)
			seen := c.parse(t, p.Stdout.String(), 1)[0]
			if seen.saw != c.tryAgain {
				t.Errorf("%s: saw %q, want %q", forwardedName, seen.saw, c.tryAgain)
			}
			t.Logf("%s: %s after %v", forwardedName, seen.saw, seen.took.Round(time.Millisecond))
		})
	}
	for _, c := range m.clients {
		t.Run(c.name, func(t *testing.T) {
			c.prepare(t, m.World)
			m.check(t, c.see(t, m.World, slices.Repeat([]string{ownName}, lookupAttempts)...), ownName, m.own, withDeadUpstreams)
		})
	}
}

// searchDomainsInBlackHoles shows what the sidecar cannot help. With a search
// list that comes first, a resolver asks for names below its domains before it
// asks for ours. They are not ours, as an upstream might know them, so they are
// forwarded, and nobody answers. musl fails for that reason; glibc and Go come
// to the name itself when they have waited, here for 1 s at a time instead of 5.
// A name with a dot at its end is not searched for, and so is there at once.
func (m *matrix) searchDomainsInBlackHoles(t *testing.T) {
	m.resolvConf(t, podSearch+"options timeout:1 attempts:1\n")
	for _, c := range named(m.clients, "glibc", "musl", "Go") {
		t.Run(c.name+" searches", func(t *testing.T) {
			c.prepare(t, m.World)
			p := c.begin(t, m.World, ownName)
			t.Parallel() // the rest comes after those that do not search
			want := m.own
			if c.name == "musl" {
				want = c.tryAgain
			}
			p.Wait(t, world.Patience)
			seen := c.parse(t, p.Stdout.String(), 1)[0]
			if seen.saw != want {
				t.Errorf("%s: saw %q, want %q", ownName, seen.saw, want)
			}
			t.Logf("%s: %s after %v", ownName, seen.saw, seen.took.Round(time.Millisecond))
		})
		t.Run(c.name+" does not search", func(t *testing.T) {
			c.prepare(t, m.World)
			const dotted = ownName + "."
			m.check(t, c.see(t, m.World, slices.Repeat([]string{dotted}, lookupAttempts)...), dotted, m.own, withDeadUpstreams)
		})
	}
}

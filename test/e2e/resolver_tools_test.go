//go:build linux

package e2e_test

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// lookupTool is how a program that is no library looks a name up, and how it is
// read. The expressions have one group each.
type lookupTool struct {
	argv    []string       // the name comes behind it
	prefix  string         // of the name, where it needs one
	address *regexp.Regexp // every address it found
	failure *regexp.Regexp // its word for why there is none

	// The time of every query it made, and the unit of that. A tool that does
	// not tell, or not of what failed, is timed from outside, and idle is how it
	// is started to ask nothing.
	took *regexp.Regexp
	unit time.Duration
	idle []string
}

var (
	curlLookup = lookupTool{
		// Nobody is on port 80 of these addresses; that is all right.
		argv:    []string{"curl", "-sv", "--connect-timeout", "2", "-w", "looked up in %{time_namelookup}\n"},
		prefix:  "http://",
		address: regexp.MustCompile(`Trying (\S+):80\.\.\.`),
		failure: regexp.MustCompile(`(Could not resolve host)`),
		took:    regexp.MustCompile(`looked up in (\d*\.\d*[1-9]\d*)`), // 0 after a failure
		unit:    time.Second,
		idle:    []string{"curl", "-s", "http://127.0.0.1:80/"},
	}
	digLookup = lookupTool{
		argv:    []string{"dig"},
		address: regexp.MustCompile(`\sIN[ \t]+A[ \t]+(\S+)`),
		failure: regexp.MustCompile(`status: (\w+)`),
		took:    regexp.MustCompile(`Query time: (\d+) msec`),
		unit:    time.Millisecond,
	}
	hostLookup = lookupTool{ // asks for A, AAAA and MX
		argv:    []string{"host", "-v"},
		address: regexp.MustCompile(`\sIN[ \t]+A[ \t]+(\S+)`),
		failure: regexp.MustCompile(`not found: \d\((\w+)\)`),
		took:    regexp.MustCompile(`Received .* in (\d+) ms`),
		unit:    time.Millisecond,
	}
	nslookupLookup = lookupTool{ // asks for A and AAAA
		argv:    []string{"nslookup"},
		address: regexp.MustCompile(`Name:\s+\S+\nAddress: (\S+)`),
		failure: regexp.MustCompile(`can't find \S+: (\w+)`),
		idle:    []string{"nslookup", "-version"},
	}
	busyboxLookup = lookupTool{ // asks for A and AAAA at once
		argv:    []string{"busybox", "nslookup", "-debug"},
		address: regexp.MustCompile(`Name:\s+\S+\nAddress: (\S+)`),
		failure: regexp.MustCompile(`can't find \S+: (\w+)`),
		took:    regexp.MustCompile(`completed in (\d+)ms`),
		unit:    time.Millisecond,
	}
)

// lookUp runs the tool once. The times it tells of its queries are added up;
// what it says more than once, as of every type it asked for, counts once.
func (l *lookupTool) lookUp(t *testing.T, w *world.World, name string) sighting {
	t.Helper()
	r := w.Run(t, w.App, world.Command{}, append(l.argv[:len(l.argv):len(l.argv)], l.prefix+name)...)
	text := r.Stdout + r.Stderr
	seen := sighting{of: name, saw: strings.Join(slices.Compact(groups(l.address, text)), ",")}
	if seen.saw == "" {
		seen.saw = cmp.Or(strings.Join(slices.Compact(groups(l.failure, text)), ","), text)
	}
	var told []string
	if l.took != nil {
		told = groups(l.took, text)
	}
	for _, number := range told {
		n, err := strconv.ParseFloat(number, 64)
		if err != nil {
			t.Fatalf("%v printed the time %q", l.argv, number)
		}
		seen.took += time.Duration(n * float64(l.unit))
	}
	if len(told) > 0 {
		return seen
	}
	if l.idle == nil {
		t.Fatalf("%v %s told no time:\n%s", l.argv, name, text)
	}
	idle := w.Run(t, w.App, world.Command{}, l.idle...)
	seen.took = max(0, r.Took-idle.Took) // what remains of two starts of a program varies by milliseconds
	return seen
}

// groups is what the group of re matched, each time.
func groups(re *regexp.Regexp, text string) []string {
	var all []string
	for _, match := range re.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}

//go:build linux

package world

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Entry is one line of the sidecar's log, of which Line has the text.
type Entry struct {
	Msg, Level, Endpoint, ID, Client, Dial, Took string
	Cause, Error, Stage, Phrase, Next            string
	TrackingID                                   string `json:"tracking_id"`
	Status                                       int
	Up, Down                                     int64

	Line string `json:"-"`
}

// Entries is what has been logged so far; lines that are no JSON are left out.
func (s *Sidecar) Entries() []Entry {
	var entries []Entry
	for line := range strings.Lines(s.Stderr.String()) {
		var e Entry
		if json.Unmarshal([]byte(line), &e) == nil {
			e.Line = strings.TrimSpace(line)
			entries = append(entries, e)
		}
	}
	return entries
}

// Said is the lines with this message.
func (s *Sidecar) Said(message string) (lines []string) {
	for _, e := range s.Entries() {
		if e.Msg == message {
			lines = append(lines, e.Line)
		}
	}
	return lines
}

// AwaitSaid waits until a message has been logged so many times.
func (s *Sidecar) AwaitSaid(t testing.TB, message string, times int) {
	t.Helper()
	s.Await(t, &s.Stderr, Patience, fmt.Sprintf("%q %d times", message, times), func(string) bool {
		return len(s.Said(message)) >= times
	})
}

// Closed is the lines about connections that have ended, for one endpoint or, for
// "", for all.
func (s *Sidecar) Closed(endpoint string) []Entry {
	return slices.DeleteFunc(s.Entries(), func(e Entry) bool {
		return e.Msg != "connection closed" || endpoint != "" && e.Endpoint != endpoint
	})
}

// AwaitClosed waits for the nth line, from 1, about a connection to endpoint that
// has ended, and returns it.
func (s *Sidecar) AwaitClosed(t testing.TB, endpoint string, nth int) Entry {
	t.Helper()
	s.Await(t, &s.Stderr, Patience, fmt.Sprintf("%d closed connections to %s", nth, endpoint), func(string) bool {
		return len(s.Closed(endpoint)) >= nth
	})
	return s.Closed(endpoint)[nth-1]
}

// Preflight is the sidecar's one line about what it found at its start.
type Preflight struct {
	Level, Msg     string
	Findings, Fine []string
}

// Preflight waits for that line. The test fails when there is another one.
func (s *Sidecar) Preflight(t testing.TB) Preflight {
	t.Helper()
	s.AwaitSaid(t, "preflight", 1)
	lines := s.Said("preflight")
	if len(lines) > 1 {
		t.Errorf("a second preflight: %s", lines[1])
	}
	var p Preflight
	if err := json.Unmarshal([]byte(lines[0]), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Has reports whether there is a finding of this code, with its place in the
// documentation, that holds all the parts.
func (p Preflight) Has(code string, parts ...string) bool {
	return slices.ContainsFunc(p.Findings, func(f string) bool {
		return strings.HasPrefix(f, code+": ") && strings.HasSuffix(f, " (docs/troubleshooting.md#"+code+")") &&
			!slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(f, part) })
	})
}

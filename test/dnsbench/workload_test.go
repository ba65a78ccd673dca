package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMissesAreNeverAskedTwice(t *testing.T) {
	n := newNames()
	seen := make(map[string]bool)
	for range 300_000 {
		name := n.miss()
		if seen[name] {
			t.Fatalf("%s comes again", name)
		}
		seen[name] = true
	}
}

func TestQuestionsAreMixedAsTold(t *testing.T) {
	n := newNames()
	for _, w := range workloads {
		const lines = 10_000
		var text bytes.Buffer
		if err := n.write(&text, w, lines); err != nil {
			t.Fatal(err)
		}
		own, hits := strings.Count(text.String(), ".corp.contoso.net A\n"), strings.Count(text.String(), "www")
		misses := strings.Count(text.String(), " A\n") - own - hits
		for _, c := range []struct{ got, want int }{{own, w.own}, {hits, w.hits}, {misses, w.misses}} {
			if most := lines / 50; c.got < lines/100*c.want-most || c.got > lines/100*c.want+most {
				t.Errorf("%s: %d own names, %d hits, %d misses", w.name, own, hits, misses)
			}
		}
	}
}

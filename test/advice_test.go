package test_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
)

// TestAdviceCoversEveryLabel: what the program can report is in the table, and
// nothing else.
func TestAdviceCoversEveryLabel(t *testing.T) {
	real := make(map[string]bool)
	for _, label := range slices.Concat(labels(t), verdicts(), preflight) {
		real[label] = true
	}
	known, _ := advice.Names()
	compare(t, "label", set(known), real, "advice's table")
}

// TestAdviceCoversEveryWarning: lines that warn are in the table, and those that it
// has are logged.
func TestAdviceCoversEveryWarning(t *testing.T) {
	_, messages := advice.Names()
	logged := make(map[string]bool)
	for _, l := range logLines(t) {
		logged[l.message] = true
		if l.warns && l.message != "" && !slices.Contains(messages, l.message) {
			t.Errorf("%s logs %q, which advice's table does not have", l.path, l.message)
		}
	}
	for _, message := range messages {
		if !logged[message] {
			t.Errorf("advice's table has the line %q, which nobody logs", message)
		}
	}
}

// TestAdviceLeadsToAnEntry: each place that the table names exists.
func TestAdviceLeadsToAnEntry(t *testing.T) {
	anchors := set(slices.Collect(maps.Values(headings(t, "../docs/troubleshooting.md"))))
	known, messages := advice.Names()
	for _, name := range slices.Concat(known, messages) {
		if slices.Contains(orderly, name) {
			continue // which docs/logs.md explains, and no line leads anywhere
		}
		if see := advice.ForLine(name, "", "", nil).See; !anchors[strings.TrimPrefix(see, "docs/troubleshooting.md#")] {
			t.Errorf("%q leads to %s, which is nowhere", name, see)
		}
	}
}

// TestLibrariesGiveNoAdvice: the libraries know neither the program's settings nor
// its commands, and report facts.
func TestLibrariesGiveNoAdvice(t *testing.T) {
	own := regexp.MustCompile("HYCO_|`hyco-sidecar |\"next\"|\\bNext\\(\\) string")
	for _, dir := range libraries {
		if dir == "config" { // config is about the settings
			continue
		}
		err := filepath.WalkDir("../"+dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, found := range own.FindAllString(read(t, path), -1) {
				t.Errorf("%s says %q", path, found)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func set(names []string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	return all
}

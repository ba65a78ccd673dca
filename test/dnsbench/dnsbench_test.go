package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(play())
	}
	os.Exit(m.Run())
}

// TestQuick runs everything once, into a copy of the document.
func TestQuick(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc as Linux has it")
	}
	if _, err := findTools(); err != nil {
		t.Skip(err)
	}
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if err := benchmark().Run([]string{"-quick", "-o", file}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := benchmark().Lines()
	before, rest, _ := strings.Cut(string(got), begin)
	report, after, _ := strings.Cut(rest, end)
	if !strings.HasPrefix(string(text), before) || !strings.HasSuffix(string(text), after) {
		t.Errorf("the prose around the report has changed:\n%s", got)
	}
	for _, workload := range []string{"own names", "cache hits", "cache misses", "mixed"} {
		for _, what := range []string{"queries/s", "p50 at half of dnsmasq's queries/s, µs", "lost of 10,000", "memory afterwards, MiB"} {
			_, row, ok := strings.Cut(report, "| "+workload+": "+what+" | ")
			row, _, _ = strings.Cut(row, "\n")
			if cells := strings.Split(row, " | "); !ok || len(cells) < 3 || strings.Contains(strings.Join(cells[:3], ""), "–") {
				t.Errorf("no values for %s of %s in\n%s", what, workload, report)
			}
		}
	}
	if !strings.Contains(report, ", dnsmasq 2.") || !strings.Contains(report, ", unbound 1.") {
		t.Errorf("no versions in\n%s", report)
	}
}

func TestMissingProgramsAreNamedWithTheirPackages(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findTools()
	if missing, ok := errors.AsType[*missingError](err); !ok || missing.packages[0] != "dnsperf" ||
		!strings.Contains(err.Error(), "apt-get install --no-install-recommends dnsperf") {
		t.Errorf("got %v", err)
	}
}

package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"hyco-sidecar/test/bench/frame/frametest"
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(play())
	}
	os.Exit(m.Run())
}

// TestQuick runs everything once, into a copy of the document.
func TestQuick(t *testing.T) {
	if _, err := findTools(); err != nil {
		t.Skip(err)
	}
	report := frametest.Quick(t, benchmark(), "../../docs/performance.md")
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

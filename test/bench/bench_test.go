package main

import (
	"os"
	"strings"
	"testing"

	"hyco-sidecar/test/bench/frame/frametest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestQuick runs everything once, into a copy of the document.
func TestQuick(t *testing.T) {
	report := frametest.Quick(t, benchmark(), "../../docs/performance.md")
	for _, want := range []string{
		"| MB/s up, 1 connection |", "| MB/s down, 16 connections |", "| request latency p50, µs |",
		"| new connections per second, 8 at once |", "| memory per idle connection, 200 open, KiB |",
		", warm (baseline: cold, TLS session resumed) |", ", 10 stalled readers, KiB |",
	} {
		_, row, ok := strings.Cut(report, want)
		if value, _, _ := strings.Cut(row, "|"); !ok || strings.TrimSpace(value) == "–" {
			t.Errorf("no value for %q in\n%s", want, report)
		}
	}
}

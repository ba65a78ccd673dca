package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestQuick runs everything once, into a copy of the document.
func TestQuick(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc as Linux has it")
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
	if stdout.Len() > 0 {
		t.Errorf("stdout, though there is a file: %s", &stdout)
	}
}

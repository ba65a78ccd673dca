// Package frametest runs a benchmark in a test, as quickly as it can.
package frametest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/test/bench/frame"
)

// Quick runs all of b once with its report going into a copy of document, the path of
// a file, and returns that report. The test fails when anything else in the copy has
// changed, or when the report went to stdout as well, and is skipped where there is
// no /proc to measure by.
func Quick(t *testing.T, b *frame.Benchmark, document string) (report string) {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc as Linux has it")
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), filepath.Base(document))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if err := b.Run([]string{"-quick", "-o", file}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := b.Lines()
	before, rest, _ := strings.Cut(string(got), begin)
	report, after, _ := strings.Cut(rest, end)
	if !strings.HasPrefix(string(text), before) || !strings.HasSuffix(string(text), after) {
		t.Errorf("the prose around the report has changed:\n%s", got)
	}
	if stdout.Len() > 0 {
		t.Errorf("stdout, though there is a file: %s", &stdout)
	}
	return report
}

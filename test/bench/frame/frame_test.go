package frame

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var example = &Benchmark{
	Name: "bench-example", Columns: []string{"ours", "theirs"}, Parts: []string{"throughput", "latency"}, Watchdog: time.Minute,
	Measure: func(_ context.Context, r *Run) error {
		for _, part := range r.Parts {
			f := r.Figure(part, Bound{RatioAtLeast: 1})
			for round := range r.Rounds {
				f.Add(0, float64(round))
				f.Add(1, 2)
			}
		}
		r.Versions = append(r.Versions, "theirs 2.90")
		return nil
	},
}

func TestReportOfWhatWasChosen(t *testing.T) {
	for _, c := range []struct {
		args    string
		rounds  string
		figures []string
	}{
		{"", ", theirs 2.90; medians of 5 rounds; ", []string{"| throughput | 2 | 2 | 1 | ≥ 1 × theirs | yes |", "| latency | 2 | 2 | 1 | ≥ 1 × theirs | yes |"}},
		{"-only latency -rounds 3", "; medians of 3 rounds; ", []string{"| latency | 1 | 2 | 0.5 | ≥ 1 × theirs | **no** |"}},
		{"-quick", "; medians of 1 round; ", []string{"| throughput | 0 | 2 | 0 | ≥ 1 × theirs | **no** |", "| latency | 0 | 2 | 0 | ≥ 1 × theirs | **no** |"}},
	} {
		var stdout, stderr bytes.Buffer
		if err := example.Run(strings.Fields(c.args), &stdout, &stderr); err != nil {
			t.Fatal(err)
		}
		first, table, _ := strings.Cut(stdout.String(), "\n\n")
		want := "| figure | ours | theirs | ratio | must reach | ok |\n|---|---|---|---|---|---|\n" + strings.Join(c.figures, "\n") + "\n"
		if !strings.Contains(first, c.rounds) || table != want {
			t.Errorf("%q: got\n%swant %q in it and\n%s", c.args, &stdout, c.rounds, want)
		}
	}
}

func TestFailureLeavesNoReport(t *testing.T) {
	failing := *example
	failing.Measure = func(context.Context, *Run) error { return errors.New("a checksum differs") }
	var stdout, stderr bytes.Buffer
	if err := failing.Run(nil, &stdout, &stderr); err == nil || err.Error() != "a checksum differs" || stdout.Len() > 0 {
		t.Errorf("got %v and the report %q", err, &stdout)
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"-only latency,letency", `"letency"`},
		{"-rounds 0", "-rounds"},
		{"quick", "flags"},
		{"-speed", "-speed"},
	} {
		var stdout, stderr bytes.Buffer
		err := example.Run(strings.Fields(c.args), &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s in it", c.args, err, c.want)
		}
	}
}

func TestReportNeedsItsPlace(t *testing.T) {
	begin, end := example.Lines()
	file := filepath.Join(t.TempDir(), "other.md")
	if err := os.WriteFile(file, []byte("# Other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := example.replaceReport(file, "new\n"); err == nil || !strings.Contains(err.Error(), end[:10]) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(file, []byte("# Other\n"+begin+"old\n"+end+"end\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := example.replaceReport(file, "new\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "# Other\n"+begin+"new\n"+end+"end\n" {
		t.Errorf("%q, %v", got, err)
	}
}

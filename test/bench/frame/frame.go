// Package frame is what the benchmarks have in common: flags, progress, a
// watchdog, and a table of figures that goes into a document.
package frame

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Benchmark is a program that compares. All fields are needed.
type Benchmark struct {
	Name     string        // of the target in the Makefile, and in the lines around the report
	Columns  []string      // what is measured, then what it is compared with: one or more
	Parts    []string      // names of what -only chooses from, in the order of the table
	Watchdog time.Duration // ends a run that hangs

	// Measure takes the figures. An error means that something failed, not that
	// a figure is a poor one. When ctx ends it ends its processes and returns.
	Measure func(ctx context.Context, r *Run) error
}

// Run is one run of a benchmark.
type Run struct {
	Parts    []string // the chosen ones
	Rounds   int
	Quick    bool     // one round with little of everything: shows that it works, measures nothing
	Versions []string // of the other programs that take part, for the report
	Against  string   // path of an earlier hyco-sidecar, the only one to compare with; empty = the usual ones

	columns []string
	stderr  io.Writer
	began   time.Time
	took    time.Duration
	figures []*Figure
}

// Main runs the program with these arguments and returns the exit code.
func (b *Benchmark) Main(args []string) int {
	switch err := b.Run(args, os.Stdout, os.Stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", b.Name, err)
		return 1
	}
}

// Run measures what args choose and writes the report.
func (b *Benchmark) Run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet(b.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 5, "`number` of times that everything is measured")
	only := flags.String("only", "", "comma-separated `names` of what to measure: "+strings.Join(b.Parts, ", ")+" (default all)")
	quick := flags.Bool("quick", false, "one round with little of everything: shows that it works, measures nothing")
	against := flags.String("against", "", "`path` of an earlier hyco-sidecar to compare with, in place of everything else")
	file := flags.String("o", "", "`file` whose generated part is replaced by the report (default stdout)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	parts, err := b.choose(*only)
	if err != nil {
		return err
	}
	if flags.NArg() > 0 || *rounds < 1 {
		return errors.New("there are no arguments but flags, and -rounds is 1 or more: see -h")
	}
	if *quick {
		*rounds = 1
	}
	columns := b.Columns
	if *against != "" {
		if *file != "" {
			return errors.New("-against and -o exclude each other: the document compares with other programs")
		}
		if *against, err = exec.LookPath(*against); err != nil {
			return fmt.Errorf("-against: %w", err)
		}
		columns = []string{b.Columns[0], "before"}
	}
	r := &Run{Parts: parts, Rounds: *rounds, Quick: *quick, Against: *against, columns: columns, stderr: stderr, began: time.Now()}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, b.Watchdog, fmt.Errorf("stopped by its watchdog after %v", b.Watchdog))
	defer cancel()
	if err := b.Measure(ctx, r); err != nil {
		if ctx.Err() != nil {
			// What failed failed because the processes were ended.
			return context.Cause(ctx)
		}
		return err
	}
	r.took = time.Since(r.began)
	if *file != "" {
		return b.replaceReport(*file, r.report())
	}
	_, err = io.WriteString(stdout, r.report())
	return err
}

func (b *Benchmark) choose(only string) ([]string, error) {
	if only == "" {
		return b.Parts, nil
	}
	var chosen []string
	for name := range strings.SplitSeq(only, ",") {
		if !slices.Contains(b.Parts, name) {
			return nil, fmt.Errorf("-only: there is no %q: choose from %s", name, strings.Join(b.Parts, ", "))
		}
		chosen = append(chosen, name)
	}
	return chosen, nil
}

// Say prints a line of progress.
func (r *Run) Say(format string, args ...any) {
	fmt.Fprintf(r.stderr, "%4.0f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// Figure adds a line to the table; its values come later.
func (r *Run) Figure(name string, must Bound) *Figure {
	f := &Figure{Name: name, Must: must, values: make([][]float64, len(r.columns))}
	r.figures = append(r.figures, f)
	return f
}

// Command bench measures the real hyco-sidecar against a stand-in relay, and
// beside it, in turns, a baseline forwarder: accept, tls.Dial, two plain copies.
// Every figure is printed with its ratio to the baseline's, since machines are
// noisy and differ, and ratios less so.
//
// The sidecar, the baseline and everything behind them are processes of their
// own; this program is the app, and starts itself again for the parts of
// role.go. It touches loopback only and stops by itself. What is measured and
// how is told in docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// watchdog ends a run that hangs. An ordinary one takes six to eight minutes.
const watchdog = 10 * time.Minute

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measurement takes some of the figures.
type measurement struct {
	name string
	take func(*bench, context.Context) error
}

// measurements are all there are, in the order of the table.
var measurements = []measurement{
	{"throughput", (*bench).measureThroughput},
	{"latency", (*bench).measureLatency},
	{"connections", (*bench).measureConnections},
	{"idle", (*bench).measureIdle},
	{"firstbyte", (*bench).measureFirstByte},
	{"stalled", (*bench).measureStalled},
}

// run is the program: it measures what args choose and writes the report. An
// error means that something failed, not that a figure is a poor one.
func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 5, "`number` of times that everything is measured")
	only := flags.String("only", "", "comma-separated `names` of what to measure: "+names()+" (default all)")
	quick := flags.Bool("quick", false, "one round with little of everything: shows that it works, measures nothing")
	file := flags.String("o", "", "`file` whose generated part is replaced by the report (default stdout)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if flags.NArg() > 0 || *rounds < 1 {
		return errors.New("there are no arguments but flags, and -rounds is 1 or more: see -h")
	}
	b := &bench{scale: full, stderr: stderr, began: time.Now()}
	b.rounds = *rounds
	if *quick {
		b.scale = little
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, watchdog, fmt.Errorf("stopped by its watchdog after %v", watchdog))
	defer cancel()
	if err := b.measure(ctx, chosen); err != nil {
		if ctx.Err() != nil {
			// What failed failed because the processes were ended.
			return context.Cause(ctx)
		}
		return err
	}
	report := b.report()
	if *file != "" {
		return replaceReport(*file, report)
	}
	_, err = io.WriteString(stdout, report)
	return err
}

func names() string {
	var all []string
	for _, m := range measurements {
		all = append(all, m.name)
	}
	return strings.Join(all, ", ")
}

func choose(only string) ([]measurement, error) {
	if only == "" {
		return measurements, nil
	}
	var chosen []measurement
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(measurements, func(m measurement) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no %q: choose from %s", name, names())
		}
		chosen = append(chosen, measurements[i])
	}
	return chosen, nil
}

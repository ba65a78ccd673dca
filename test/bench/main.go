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
	"os"
	"time"

	"hyco-sidecar/test/bench/frame"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "capture" {
		os.Exit(captureMain())
	}
	os.Exit(benchmark().Main(os.Args[1:]))
}

func benchmark() *frame.Benchmark {
	b := &frame.Benchmark{
		Name:     "bench",
		Columns:  []string{"hyco-sidecar", "baseline"},
		Watchdog: 12 * time.Minute, // an ordinary run takes seven to nine
		Measure:  measure,
	}
	for _, m := range measurements {
		b.Parts = append(b.Parts, m.name)
	}
	return b
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

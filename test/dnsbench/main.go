// Command dnsbench measures the resolver of the real hyco-sidecar beside dnsmasq
// and unbound, in turns, with dnsperf as the load. Every figure is printed with
// its ratio to theirs, since machines are noisy and differ, and ratios less so.
//
// All servers are processes of their own, and so is the upstream that they ask,
// which is this program once more. It touches loopback only and stops by itself.
// What is measured and how is told in docs/performance.md.
package main

import (
	"fmt"
	"os"
	"time"

	"hyco-sidecar/test/bench/frame"
)

// roleVariable makes this program the upstream in place of measuring.
const roleVariable = "HYCO_DNSBENCH_ROLE"

func main() {
	if os.Getenv(roleVariable) != "" {
		os.Exit(play())
	}
	os.Exit(benchmark().Main(os.Args[1:]))
}

// play is the upstream until its process is killed; it returns the exit code.
func play() int {
	if err := serveUpstream(); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		return 1
	}
	return 0
}

func benchmark() *frame.Benchmark {
	b := &frame.Benchmark{
		Name:     "bench-dns",
		Columns:  []string{"hyco-sidecar", "dnsmasq", "unbound"},
		Watchdog: 8 * time.Minute, // an ordinary run takes four
		Measure:  measure,
	}
	for _, w := range workloads {
		b.Parts = append(b.Parts, w.name)
	}
	return b
}

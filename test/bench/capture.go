package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"hyco-sidecar/test/bench/frame"
)

// captureBenchmark compares the two ways in which connections come to a sidecar:
// led by rules, and to ports that it has bound.
func captureBenchmark() *frame.Benchmark {
	return &frame.Benchmark{
		Name:     "bench-capture",
		Columns:  []string{"captured", "listening"},
		Parts:    []string{"capture"},
		Watchdog: 10 * time.Minute, // an ordinary run takes four
		Measure:  measureCapture,
	}
}

// measureCapture takes turns within every round. Each turn has a sidecar of its own:
// as long as one captures, the kernel follows the connections of all.
func measureCapture(ctx context.Context, r *frame.Run) (err error) {
	b := &bench{Run: r, scale: full, payload: newPayload()}
	b.cpu *= 2 // for the difference is small
	if r.Quick {
		b.scale = little
	}
	there, err := separate()
	if err != nil {
		return err
	}
	if b.world, err = newWorld(ctx, there, ""); err != nil {
		return err
	}
	defer b.world.close()
	defer context.AfterFunc(ctx, b.world.Kill)()
	for _, w := range flows {
		perSecond := b.Figure("MB/s "+w.name, frame.Bound{RatioAtLeast: 0.95})
		perCPUSecond := b.Figure("MB per CPU-second "+w.name, frame.Bound{})
		var size int64
		for round := range b.Rounds {
			// Who is first changes, since a machine is not the same for long.
			for turn := range 2 {
				column := (round + turn) % 2
				t, err := b.transferAlone(ctx, w, column == 0, &size)
				if err != nil {
					return err
				}
				b.Say("round %d, %s, %s: %.0f MB/s, %.0f MB per CPU-second", round+1, w.name, []string{"captured", "listening"}[column], t.perSecond(), t.perCPUSecond())
				perSecond.Add(column, t.perSecond())
				perCPUSecond.Add(column, t.perCPUSecond())
			}
		}
	}
	return nil
}

// transferAlone makes one transfer through a sidecar of its own. The first one of a flow
// finds out the size of all.
func (b *bench) transferAlone(ctx context.Context, w flow, capture bool, size *int64) (transfer, error) {
	mode := "off"
	if capture {
		mode = "redirect"
	}
	f, err := b.world.sidecar(ctx, b.world.relay, "HYCO_CAPTURE="+mode)
	if err != nil {
		return transfer{}, err
	}
	first, err := b.transfer(ctx, f, w, b.probe) // which also warms up
	if err != nil {
		return transfer{}, err
	}
	if *size == 0 {
		*size = b.enoughBytes(first)
	}
	t, err := b.transfer(ctx, f, w, *size)
	if err != nil {
		return transfer{}, err
	}
	return t, f.end()
}

// apartVariable says how often this program has started itself in a new network
// namespace: the first is the far side's, the one within that the app's.
const apartVariable = "HYCO_BENCH_APART"

// captureMain runs the benchmark and returns the exit code. The relay is in another
// network namespace than the sidecar, as it is elsewhere: the kernel follows the
// connections of the app's alone.
func captureMain() int {
	depth := os.Getenv(apartVariable)
	if depth == "2" {
		return captureBenchmark().Main(os.Args[2:])
	}
	attributes, err := apart()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-capture: %v\n", err)
		return 1
	}
	signals := make(chan os.Signal, 1) // the innermost obeys them
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", apartVariable, len(depth)+1))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attributes
	err = cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-capture: network namespaces take root: %v\n", err)
		return 1
	}
	return 0
}

// The two ends of the wire between app and far side.
const (
	nearIP = "10.213.1.1"
	farIP  = "10.213.1.2"
)

// separate lays a wire to the network namespace of the parent process, which is the
// far side.
func separate() (far, error) {
	there := far{ip: farIP, command: []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", os.Getppid())}}
	for _, argv := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		append(there.command[:2:2], "ip", "link", "set", "lo", "up"),
		append(there.command[:2:2], "ip", "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", fmt.Sprint(os.Getpid())),
		append(there.command[:2:2], "ip", "address", "add", farIP+"/30", "dev", "far"),
		append(there.command[:2:2], "ip", "link", "set", "far", "up"),
		{"ip", "address", "add", nearIP + "/30", "dev", "near"},
		{"ip", "link", "set", "near", "up"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return far{}, fmt.Errorf("%v: %w: %s", argv, err, out)
		}
	}
	return there, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hyco-sidecar/test/program"
)

// load is how much is asked at a time.
type load struct {
	// outstanding is how many questions may be without an answer; more of them
	// wait. They have room in the receive buffer of a server's socket, of which
	// Linux keeps a quarter to itself at times: 192 small datagrams with its
	// default of 208 KiB. A load that is late makes up for it by a burst.
	outstanding int

	rate float64 // per second; 0 is as many as are answered
}

// outcome is what became of a load.
type outcome struct {
	sent, completed, lost int
	took                  time.Duration
	cpu                   time.Duration // of the server
	latencies             []float64     // of the answered ones, in µs; none for a full load
}

func (o *outcome) perSecond() float64    { return float64(o.completed) / o.took.Seconds() }
func (o *outcome) perCPUSecond() float64 { return float64(o.completed) / o.cpu.Seconds() }

// add adds what became of another turn.
func (o *outcome) add(turn *outcome) {
	o.sent += turn.sent
	o.completed += turn.completed
	o.lost += turn.lost
	o.took += turn.took
	o.cpu += turn.cpu
	o.latencies = append(o.latencies, turn.latencies...)
}

// latency is the quantile q of the latencies, in µs. A lost question took as long
// as dnsperf has waited for it.
func (o *outcome) latency(q float64) float64 {
	slices.Sort(o.latencies)
	n := len(o.latencies) + o.lost
	if n == 0 {
		return math.NaN()
	}
	if i := int(q * float64(n-1)); i < len(o.latencies) {
		return o.latencies[i]
	}
	return float64(timeout / time.Microsecond)
}

// timeout is when dnsperf takes a question for lost.
const timeout = time.Second

// clients are the sockets that dnsperf asks from, in turns.
const clients = 16

// questions are in a file for dnsperf.
type questions struct {
	file   string
	repeat bool // they may be asked again and again
}

// questions writes new questions of w, enough for one load.
func (w *world) questions(of workload, l load, most time.Duration) (*questions, error) {
	lines := 20_000
	if of.misses > 0 {
		// More than anybody answers in that time: a load that runs out of questions
		// ends early, which does no harm.
		perSecond := 100_000 + 1000*float64(of.own+of.hits)
		if l.rate > 0 {
			perSecond = l.rate
		}
		lines = int(1.1 * perSecond * most.Seconds())
	}
	q := &questions{file: filepath.Join(w.scratch, "questions"), repeat: of.misses == 0}
	f, err := os.Create(q.file)
	if err != nil {
		return nil, err
	}
	return q, errors.Join(w.names.write(f, of, lines), f.Close())
}

// dnsperf asks s. An answer that is not NOERROR is an error.
func (w *world) dnsperf(ctx context.Context, s *server, q *questions, l load, most time.Duration) (*outcome, error) {
	args := []string{"-d", q.file, "-l", strconv.FormatFloat(most.Seconds(), 'f', -1, 64), "-q", strconv.Itoa(l.outstanding)}
	if !q.repeat {
		args = append(args, "-n", "1")
	}
	if l.rate > 0 {
		args = append(args, "-Q", strconv.Itoa(int(l.rate)), "-v")
	}
	before, err := s.CPU()
	if err != nil {
		return nil, err
	}
	output, err := w.runDnsperf(ctx, s, args)
	if err != nil {
		return nil, err
	}
	after, err := s.CPU()
	if err != nil {
		return nil, err
	}
	o, err := parseOutcome(output)
	if err != nil {
		return nil, err
	}
	o.cpu = after - before
	return o, nil
}

// ask asks s each of the names, and all once more if one of them was lost.
func (w *world) ask(ctx context.Context, s *server, names []string) error {
	const times = 5
	file, err := w.file("known", strings.Split(strings.Join(names, " A\n")+" A", "\n"))
	if err != nil {
		return err
	}
	for range times {
		output, err := w.runDnsperf(ctx, s, []string{"-d", file, "-n", "1", "-q", "50"})
		if err != nil {
			return err
		}
		if o, err := parseOutcome(output); err != nil || o.lost == 0 {
			return err
		}
	}
	return fmt.Errorf("%s lost some of a few questions %d times over", s.name, times)
}

// runDnsperf returns what it printed.
func (w *world) runDnsperf(ctx context.Context, s *server, args []string) (string, error) {
	args = append(args,
		"-s", s.address.Addr().String(), "-p", strconv.Itoa(int(s.address.Port())), "-c", strconv.Itoa(clients),
		"-t", strconv.FormatFloat(timeout.Seconds(), 'f', -1, 64),
		"-b", "200", // KiB of receive buffer: what gets lost is not lost here
		"-O", "suppress=timeout")
	p, err := w.Start(program.Command{Path: w.tools.dnsperf, Args: args})
	if err != nil {
		return "", err
	}
	select {
	case <-p.Ended():
	case <-ctx.Done():
		return "", context.Cause(ctx) // with which it is killed
	}
	if p.ExitCode() != 0 {
		return "", fmt.Errorf("dnsperf ended with exit code %d\n%s", p.ExitCode(), p.Stderr.Tail(4000))
	}
	return p.Stdout.String(), nil
}

var statistic = regexp.MustCompile(`(?m)^ +(Queries sent|Queries completed|Queries lost|Run time \(s\)|Response codes): +(.*)$`)

// parseOutcome reads dnsperf's statistics and, where there are, its lines about
// single questions: "> NOERROR name A 0.000187".
func parseOutcome(output string) (*outcome, error) {
	single, statistics, _ := strings.Cut(output, "\nStatistics:\n")
	found := make(map[string]string)
	for _, m := range statistic.FindAllStringSubmatch(statistics, -1) {
		found[m[1]] = m[2]
	}
	o := &outcome{}
	var seconds float64
	for _, number := range []struct {
		name string
		to   any
	}{
		{"Queries sent", &o.sent}, {"Queries completed", &o.completed}, {"Queries lost", &o.lost}, {"Run time (s)", &seconds},
	} {
		if _, err := fmt.Sscan(found[number.name], number.to); err != nil {
			return nil, fmt.Errorf("dnsperf has not printed %q: %w\n%s", number.name, err, statistics)
		}
	}
	o.took = time.Duration(seconds * float64(time.Second))
	if codes := found["Response codes"]; o.completed > 0 && !strings.HasPrefix(codes, fmt.Sprintf("NOERROR %d ", o.completed)) {
		return nil, fmt.Errorf("not every answer is NOERROR: %s", codes)
	}
	for line := range strings.Lines(single) {
		fields := strings.Fields(line)
		if len(fields) != 5 || fields[0] != ">" {
			continue
		}
		seconds, err := strconv.ParseFloat(fields[4], 64)
		if err != nil {
			return nil, fmt.Errorf("dnsperf's line is not known: %q", line)
		}
		o.latencies = append(o.latencies, seconds*1e6)
	}
	return o, nil
}

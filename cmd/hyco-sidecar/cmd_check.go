package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/cmd/hyco-sidecar/credential"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/logging"
	"hyco-sidecar/config"
)

var checkCommand = command{
	name:    "check",
	usage:   []string{"check [--json] [--tls] [--all] [--probe KIND] [--timeout 60s] [host:port …]"},
	summary: "walk the way of an app's connection through the relay to the target",
	about:   checkAbout(),
	run:     checkEndpoints,
}

// checkFlags are the arguments of check.
type checkFlags struct {
	json, tls, all bool
	probe          string
	timeout        time.Duration
	names          []string
}

// checkEndpoints walks the way of an app's connection and returns the exit code of
// the first stage that fails.
func checkEndpoints(c *call, args []string) int {
	f, code, ok := c.parseCheck(args)
	if !ok {
		return code
	}
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.fail(exitInvalid, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()

	p, code, ok := c.plan(ctx, cfg)
	if !ok {
		return code
	}
	ids := credential.NewIdentities(p.Config, identity.Options{Guard: c.guarded})
	defer ids.Close()
	checker := check.New(p, ids, c.guarded)
	checker.Probe, checker.TLS = check.Probe(f.probe), f.tls
	if len(f.names) == 0 { // all, and the one where there is only one
		for _, e := range checker.Endpoints {
			f.names = append(f.names, e.Name)
		}
	}
	table := check.Table{Out: c.stdout, Colour: logging.IsTerminal(c.stdout) && !slices.ContainsFunc(c.environ, noColour)}
	progress := check.Progress{Guard: c.guarded}
	if logging.IsTerminal(c.stderr) {
		progress.Out = c.stderr
	}
	checker.Progress = progress.At
	if !f.json {
		checker.Walked = func(r check.Result) { progress.Clear(func() { table.Print(r) }) }
	}
	progress.Start()
	report := checker.Run(ctx, f.names)
	progress.Stop()
	if !f.json {
		table.Sum(report)
	} else if err := report.WriteJSON(c.stdout); err != nil {
		return c.fail(exitFailed, err)
	}
	if report.Verdict == check.NameNotConfigured {
		c.rejectArgs(errors.New("endpoint not configured: the report names it"))
	}
	return report.ExitCode
}

// noColour tells the variable of no-color.org.
func noColour(variable string) bool {
	value, ok := strings.CutPrefix(variable, "NO_COLOR=")
	return ok && value != ""
}

// parseCheck reads the arguments.
func (c *call) parseCheck(args []string) (f checkFlags, code int, ok bool) {
	c.flags.BoolVar(&f.json, "json", false, "")
	c.flags.BoolVar(&f.tls, "tls", false, "")
	c.flags.BoolVar(&f.all, "all", false, "")
	c.flags.StringVar(&f.probe, "probe", string(check.Auto), "")
	c.flags.DurationVar(&f.timeout, "timeout", time.Minute, "")
	names, code, ok := c.parse(args, math.MaxInt)
	if !ok {
		return f, code, false
	}
	for _, text := range names {
		name, ok := check.Normal(text)
		if !ok {
			return f, c.rejectArgs(fmt.Errorf("%q is not host:port", text)), false
		}
		if !slices.Contains(f.names, name) {
			f.names = append(f.names, name)
		}
	}
	var err error
	switch probe := check.Probe(f.probe); {
	case !slices.Contains(check.Probes, probe):
		err = fmt.Errorf("--probe %q: choose one of %s", f.probe, probeNames())
	case f.tls && probe != check.Auto && probe != check.TLS && probe != check.Postgres:
		err = fmt.Errorf("--tls and --probe %s exclude each other", probe)
	case f.timeout <= 0:
		err = errors.New("--timeout: must be above 0")
	case f.all && len(f.names) > 0:
		err = errors.New("--all and names exclude each other")
	}
	if err != nil {
		return f, c.rejectArgs(err), false
	}
	return f, exitOK, true
}

func probeNames() string {
	var all []string
	for _, p := range check.Probes {
		all = append(all, string(p))
	}
	return strings.Join(all, ", ")
}

// checkAbout explains flags and exit codes.
func checkAbout() string {
	var b strings.Builder
	b.WriteString(`Says for each stage what was found, and what to do where it fails. Without
names, every configured endpoint is checked, as with --all. A listener that
takes the connection dials its target, twice where it hangs up at what it is
sent. Works beside a running sidecar and without one.

  --json         print one JSON document
  --tls          the target has to speak TLS, with a certificate that is trusted here
  --probe KIND   what the target is sent if it does not speak first: ` + probeNames() + `
                 (auto goes by the port; none does not wait for the target)
  --timeout D    for everything together (default 60s)

Exit codes, of the first stage that fails; 2 stands for wrong settings or arguments as well:
`)
	for _, v := range check.Verdicts() {
		fmt.Fprintf(&b, "  %-3d  %s\n", v.ExitCode(), v)
	}
	return b.String()
}

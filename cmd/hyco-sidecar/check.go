package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/logging"
	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/relayclient"
)

// checkFlags are the arguments of check.
type checkFlags struct {
	json, tls, all bool
	probe          string
	timeout        time.Duration
	names          []string
}

// checkCommand walks the way of an app's connection and returns the exit code of
// the first stage that fails.
func checkCommand(c *call, args []string) int {
	f, code, ok := c.parseCheck(args)
	if !ok {
		return code
	}
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.failed(exitInvalid, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()

	ids := newIdentities(cfg, identity.Options{Guard: c.guarded})
	defer ids.close()
	cfg, code, ok = c.discovered(ctx, cfg)
	if !ok {
		return code
	}
	checker := newChecker(cfg, ids, c.guarded)
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
		return c.failed(exitFailed, err)
	}
	if report.Verdict == check.NameNotConfigured {
		c.misused(errors.New("a name stands in no setting: the report names it"))
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
			return f, c.misused(fmt.Errorf("%q is not host:port", text)), false
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
		return f, c.misused(err), false
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

// newChecker looks at this machine, and dials as run does.
func newChecker(cfg config.Config, ids *identities, guarded func(f func()) func()) *check.Checker {
	client := func(c config.Connection, hooks relayclient.Hooks) *relayclient.Client {
		return &relayclient.Client{
			Endpoint:  c.Namespace,
			RootCAs:   cfg.RootCAs,
			UserAgent: "hyco-sidecar/" + version(),
			Control:   control(cfg),
			Hooks:     hooks,
			Panicked:  panicked(guarded),
		}
	}
	c := &check.Checker{
		Version:      version(),
		Resolve:      check.Names{Control: control(cfg), Guard: guarded}.Resolve,
		OwnContainer: ownContainer(),
		RootCAs:      cfg.RootCAs,
		Guard:        guarded,
	}
	// Where there is no such file, none is listed.
	listed, _ := dnsproxy.SystemUpstreams("/etc/resolv.conf")
	for _, server := range listed {
		if isResolver(cfg, server) {
			c.Ours = append(c.Ours, server.Addr())
		} else {
			c.Others = append(c.Others, server.Addr())
		}
	}
	at := reachable(cfg.DNSListen[0])
	if len(c.Ours) > 0 { // the one of ours that apps ask
		at = netip.AddrPortFrom(c.Ours[0], 53)
	}
	c.Self = check.Names{Server: at, Control: control(cfg), Guard: guarded}.Ask
	if !slices.ContainsFunc(cfg.DNSListen, func(us netip.AddrPort) bool { return us.Port() == 53 }) {
		c.OtherPort = cfg.DNSListen[0].Port()
	}
	if runtime.GOOS == "linux" {
		c.Holder = func(addr netip.AddrPort) (netip.Addr, bool) { return holder("tcp", addr) }
	}
	if cfg.Capture == config.Redirect {
		c.Captured = lanes(cfg).Verify
	}
	connections := make(map[string]config.Connection)
	for _, e := range plan(cfg, nil) {
		connections[e.name] = e.Connection
		c.Endpoints = append(c.Endpoints, check.Endpoint{
			Name: e.name, Host: e.Host, Address: e.listen, Arrive: e.arrive, Literal: e.Literal, Namespace: e.Namespace, Entity: e.Entity,
			Credential: credentialsOf(e.Connection, kindOf(cfg)), Proxy: proxyFor(e.Namespace),
		})
	}
	c.Dial = func(ctx context.Context, e check.Endpoint, id string) (net.Conn, relayclient.Attempt, error) {
		var attempt relayclient.Attempt
		connection := connections[e.Name]
		// A client of its own: nothing is warm or remembered, so that times are true.
		client := client(connection, relayclient.Hooks{Attempted: func(a relayclient.Attempt) { attempt = a }})
		defer client.Close()
		once := make(chan struct{})
		close(once)
		conn, err := client.Dial(ctx, relayclient.Request{Entity: e.Entity, Tokens: relayclient.NewRollover(ids.both(connection)...), ID: id, Opening: opening(connection), Last: once})
		if err != nil {
			return nil, attempt, err // not conn, which would be a nil pointer in an interface
		}
		return conn, attempt, nil
	}
	c.Clock = func(ctx context.Context, e check.Endpoint) (time.Duration, error) {
		client := client(connections[e.Name], relayclient.Hooks{})
		defer client.Close()
		return client.Clock(ctx)
	}
	return c
}

// ownContainer reports whether this process was started beside the sidecar, in
// its container: then the first process there is this very program.
func ownContainer() bool {
	if os.Getpid() == 1 {
		return false
	}
	first, err := os.Readlink("/proc/1/exe")
	if err != nil {
		return false
	}
	self, err := os.Readlink("/proc/self/exe")
	return err == nil && first == self
}

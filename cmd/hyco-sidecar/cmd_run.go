package main

import (
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"

	"hyco-sidecar/cmd/hyco-sidecar/discovery"
	"hyco-sidecar/cmd/hyco-sidecar/logging"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/cmd/hyco-sidecar/sidecar"
	"hyco-sidecar/config"
)

var runCommand = command{
	name:    "run",
	usage:   []string{"[run]"},
	summary: "serve until SIGTERM, then drain",
	about: `Settings are environment variables: see ` + "`hyco-sidecar help`" + `.
SIGTERM, SIGINT or POST /quitquitquit begins the drain; a second signal ends it
at once, with exit code 1.
`,
	run: serveUntilSignalled,
}

// serveUntilSignalled serves until a signal, and returns the exit code.
func serveUntilSignalled(c *call, args []string) int {
	if _, code, ok := c.parse(args, 0); !ok {
		return code
	}
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.fail(exitInvalid, err)
	}
	log := logging.New(c.stderr, cfg.LogLevel, cfg.LogFormat)
	c.guarded = logging.Guard(log)
	code := exitOK
	c.guarded(func() { code = c.serve(cfg, log) })()
	return code
}

// serve runs the sidecar with these settings.
func (c *call) serve(cfg config.Config, log *slog.Logger) int {
	upstreams, err := plan.Upstreams(cfg, plan.ResolvConf)
	switch {
	case errors.Is(err, plan.ErrNoUpstreams):
		log.Warn("no resolver for other names: they get SERVFAIL", "file", plan.ResolvConf, "error", err)
	case err != nil:
		return c.fail(exitInvalid, err)
	}
	ctx, stop := untilSignalled(log, c.guarded)
	defer stop()
	if discovery.Needed(cfg) {
		log.Info("asking the relay for endpoints")
		cfg, err = (&discovery.Discoverer{Config: cfg, Upstreams: upstreams, Guard: c.guarded}).Run(ctx)
		switch {
		case ctx.Err() != nil:
			log.Info("stopped")
			return exitOK
		case errors.Is(err, discovery.ErrLater):
			return c.fail(exitFailed, err)
		case err != nil:
			return c.fail(exitInvalid, err)
		}
	}
	if debug.SetMemoryLimit(-1) >= 8*headroomSize { // where GOMEMLIMIT leaves room for it
		headroom := make([]byte, headroomSize)
		defer runtime.KeepAlive(headroom)
	}
	s := sidecar.New(plan.New(cfg, upstreams), sidecar.Options{Environ: c.environ, Logger: log, Guard: c.guarded})
	if err := s.Run(ctx); err != nil {
		return c.fail(exitFailed, captureError(err))
	}
	return exitOK
}

// headroomSize is memory that is never touched, and so costs none, but counts as heap: a
// collection begins when the heap has doubled, at 4 MiB at the earliest, and a new
// connection leaves 80 KiB of garbage, most of it of TLS. Collecting after every fifty
// connections took an eighth of their CPU time. The price of collecting less is up to
// 16 MiB more of resident memory in busy times.
const headroomSize = 8 << 20

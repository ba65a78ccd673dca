package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/capture"
	"hyco-sidecar/config"
)

// captureCommand installs or removes the rules, for an init container that alone
// has the right to.
func captureCommand(c *call, args []string) int {
	rest, code, ok := c.parse(args, 1)
	switch {
	case !ok:
		return code
	case len(rest) == 1 && rest[0] == "install":
		return c.installRules()
	case len(rest) == 1 && rest[0] == "remove":
		if err := capture.Remove(); err != nil {
			return c.failed(exitFailed, uncaptured(err))
		}
		fmt.Fprintln(c.stdout, "no connections are captured here any more")
		return exitOK
	case len(rest) == 1:
		return c.misused(fmt.Errorf("%q is neither install nor remove", rest[0]))
	}
	return c.misused(errors.New("say install or remove"))
}

// installRules reads the sidecar's settings, discovers what is to be discovered, and
// prints the lanes.
func (c *call) installRules() int {
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.failed(exitInvalid, err)
	}
	if cfg.Capture != config.Redirect {
		return c.failed(exitInvalid, &config.Fault{Variable: "HYCO_CAPTURE", Problem: "the sidecar with these settings binds the endpoints' ports", Remedy: "set HYCO_CAPTURE=redirect, here and for the sidecar"})
	}
	cfg, code, ok := c.discovered(context.Background(), cfg)
	if !ok {
		return code
	}
	if err := lanes(cfg).Install(); err != nil {
		return c.failed(exitFailed, uncaptured(err))
	}
	tw := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ENDPOINT\tCONNECTIONS TO\tARRIVE AT")
	for _, e := range plan(cfg, nil) {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", e.name, e.listen, e.arrive)
	}
	tw.Flush()
	return exitOK
}

// uncaptured is err with what to do about it.
func uncaptured(err error) error {
	f, ok := errors.AsType[*capture.Fault](err)
	if !ok {
		return err
	}
	return fmt.Errorf("HYCO_CAPTURE=redirect: %w: %s (%s)", err, advice.Next(f), advice.See(f.Reason()))
}

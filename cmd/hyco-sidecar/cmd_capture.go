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

var captureCommand = command{
	name:    "capture",
	usage:   []string{"capture install", "capture remove"},
	summary: "put the rules of HYCO_CAPTURE=redirect in place, or take them away",
	about: `For an init container that has the capability NET_ADMIN in the sidecar's place:
it takes the sidecar's settings. A sidecar that has the capability itself needs
neither. Exit codes: 0 done, 1 it could not be done.
`,
	run: changeRules,
}

// changeRules installs or removes the rules, for an init container that alone
// has the right to.
func changeRules(c *call, args []string) int {
	rest, code, ok := c.parse(args, 1)
	switch {
	case !ok:
		return code
	case len(rest) == 1 && rest[0] == "install":
		return c.installRules()
	case len(rest) == 1 && rest[0] == "remove":
		if err := capture.Remove(); err != nil {
			return c.fail(exitFailed, captureError(err))
		}
		fmt.Fprintln(c.stdout, "no connections are captured here any more")
		return exitOK
	case len(rest) == 1:
		return c.rejectArgs(fmt.Errorf("%q is neither install nor remove", rest[0]))
	}
	return c.rejectArgs(errors.New("say install or remove"))
}

// installRules reads the sidecar's settings, discovers what is to be discovered, and
// prints the lanes.
func (c *call) installRules() int {
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.fail(exitInvalid, err)
	}
	if cfg.Capture != config.Redirect {
		return c.fail(exitInvalid, &config.Fault{
			Variable: "HYCO_CAPTURE",
			Problem:  "the sidecar with these settings binds the endpoints' ports",
			Remedy:   "set HYCO_CAPTURE=redirect, here and for the sidecar",
		})
	}
	p, code, ok := c.plan(context.Background(), cfg)
	if !ok {
		return code
	}
	if err := p.Capture.Install(); err != nil {
		return c.fail(exitFailed, captureError(err))
	}
	tw := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ENDPOINT\tCONNECTIONS TO\tARRIVE AT")
	for _, e := range p.Endpoints {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", e.Name, e.Listen, e.Arrive)
	}
	tw.Flush()
	return exitOK
}

// captureError is err with what to do about it, where connections cannot be captured.
func captureError(err error) error {
	f, ok := errors.AsType[*capture.Fault](err)
	if !ok {
		return err
	}
	return fmt.Errorf("HYCO_CAPTURE=redirect: %w: %s (%s)", err, advice.Next(f), advice.See(f.Reason()))
}

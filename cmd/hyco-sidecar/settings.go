package main

import (
	"context"
	"errors"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/discovery"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

// discoveryTimeout is how long a command that says what it finds, and ends, waits for
// the relays.
const discoveryTimeout = 10 * time.Second

// plan derives the plan from settings, asking the relays for endpoints where that is
// set. ok is false when the command is done already, with code.
func (c *call) plan(ctx context.Context, cfg config.Config) (_ plan.Plan, code int, ok bool) {
	upstreams, err := plan.Upstreams(cfg, plan.ResolvConf)
	if err != nil && !errors.Is(err, plan.ErrNoUpstreams) {
		return plan.Plan{}, c.fail(exitInvalid, err), false
	}
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	found, err := (&discovery.Discoverer{Config: cfg, Upstreams: upstreams, Guard: c.guarded}).Run(ctx)
	switch {
	case errors.Is(err, discovery.ErrLater), ctx.Err() != nil && err != nil:
		return plan.Plan{}, c.fail(exitFailed, err), false
	case err != nil:
		return plan.Plan{}, c.fail(exitInvalid, err), false
	}
	return plan.New(found, upstreams), exitOK, true
}

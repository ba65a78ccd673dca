package main

import (
	"context"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/relayclient"
)

// pollListeners is how often the number of listeners is asked for, more or less.
const pollListeners = time.Minute

// watchListeners asks the relays, until ctx ends, how many listeners those
// endpoints have that were discovered. Where an endpoint is written down, a key
// need not have the right to ask.
func (p *parts) watchListeners(ctx context.Context, log *slog.Logger, guarded func(f func()) func()) {
	var asked []int // of the endpoints
	for i := range p.endpoints {
		if p.endpoints[i].Found {
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		return
	}
	moved := make([]string, len(p.endpoints)) // where each was told to have moved to
	for {
		fewAtOnce(guarded, len(asked), func(i int) { p.askListeners(ctx, asked[i], &moved[asked[i]], log) })
		timer := time.NewTimer(pollListeners*9/10 + mathrand.N(pollListeners/5))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// askListeners asks about one endpoint, and warns once of one that has moved.
func (p *parts) askListeners(ctx context.Context, endpoint int, moved *string, log *slog.Logger) {
	e := &p.endpoints[endpoint]
	once := make(chan struct{})
	close(once)
	said, err := e.client.Describe(ctx, relayclient.Request{Entity: e.Entity, Tokens: p.credentials.apart(endpoint), Last: once})
	if err != nil {
		return // the number is forgotten when it is old
	}
	p.monitor.Listeners(e.name, said.Listeners)
	named, err := said.Endpoint()
	if now, ok := check.Normal(named); err == nil && ok && now != e.name && now != *moved {
		*moved = now
		log.Warn("the hybrid connection's metadata names another endpoint", "endpoint", e.name, "now", now)
	}
}

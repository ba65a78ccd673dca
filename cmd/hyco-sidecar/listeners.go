package main

import (
	"context"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"hyco-sidecar/relayclient"
)

// pollListeners is how often the number of listeners is asked for, more or less.
const pollListeners = time.Minute

// watchListeners asks the relays, until ctx ends, how many listeners those
// endpoints have that were discovered. Where an endpoint is written down, a key
// need not have the right to ask.
func (p *parts) watchListeners(ctx context.Context, log *slog.Logger) {
	var asked []*endpoint
	for i := range p.endpoints {
		if p.endpoints[i].Found {
			asked = append(asked, &p.endpoints[i])
		}
	}
	if len(asked) == 0 {
		return
	}
	moved := make(map[string]bool)
	for {
		for _, e := range asked {
			p.askListeners(ctx, e, moved, log)
		}
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
func (p *parts) askListeners(ctx context.Context, e *endpoint, moved map[string]bool, log *slog.Logger) {
	once := make(chan struct{})
	close(once)
	said, err := e.client.Describe(ctx, relayclient.Request{Entity: e.Entity, Tokens: e.tokens, Last: once})
	if err != nil {
		return // the number is forgotten when it is old
	}
	p.monitor.Listeners(e.name, said.Listeners)
	if now, err := said.Endpoint(); err == nil && !strings.EqualFold(now, e.name) && !moved[now] {
		moved[now] = true
		log.Warn("the hybrid connection's metadata names another endpoint", "endpoint", e.name, "now", now, "next", "restart the sidecar to use it")
	}
}

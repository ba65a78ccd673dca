package sidecar

import (
	"context"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/relayclient"
)

// countEvery is roughly how often a relay is asked for the number of listeners of an
// endpoint: within a tenth, so that several sidecars do not ask in step.
const countEvery = time.Minute

// askAtOnce is how many endpoints a relay is asked about at the same time: one that
// cannot be reached holds its place for a while.
const askAtOnce = 8

// countListeners asks the relays, until ctx ends, how many listeners those endpoints
// have that were discovered. Where an endpoint is written down, its key need not have
// the right to ask. One that has moved is reported once.
func (s *Sidecar) countListeners(ctx context.Context) {
	reported := make(map[string]string) // where each endpoint has moved to, by its name
	for {
		asked := slices.DeleteFunc(slices.Clone(s.routes.table().all), func(r *route) bool { return !r.Found })
		if len(asked) == 0 {
			return
		}
		for i, now := range s.askRelays(ctx, asked) {
			if endpoint := asked[i].Name; now != endpoint && now != "" && now != reported[endpoint] {
				reported[endpoint] = now
				s.log.Warn("the hybrid connection's metadata names another endpoint", "endpoint", endpoint, "now", now)
			}
		}
		timer := time.NewTimer(countEvery*9/10 + mathrand.N(countEvery/5))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// askRelays tells the monitor how many listeners the endpoints have, and returns which
// endpoint each one's metadata names; empty where the relay does not say.
func (s *Sidecar) askRelays(ctx context.Context, asked []*route) []string {
	named := make([]string, len(asked))
	var asking errgroup.Group
	asking.SetLimit(askAtOnce)
	for i, r := range asked {
		asking.Go(func() error {
			s.guarded(func() { named[i] = s.askRelay(ctx, r) })()
			return nil
		})
	}
	_ = asking.Wait() // none of them fails: a number that does not come is forgotten in time
	return named
}

func (s *Sidecar) askRelay(ctx context.Context, r *route) (endpoint string) {
	once := make(chan struct{})
	close(once)
	said, err := r.client.Describe(ctx, relayclient.Request{Entity: r.Entity, Tokens: s.credentials.ForQueries(r.Name), NoRetry: once})
	if err != nil {
		return ""
	}
	s.monitor.Listeners(r.Name, said.Listeners)
	named, err := said.Endpoint()
	if err != nil {
		return ""
	}
	endpoint, _ = check.Normal(named) // empty if it is not host:port
	return endpoint
}

// Package preflight looks once, right after the start, at what the sidecar found
// around itself: whether apps' names can come to it, where other names go, whether the
// relays can be reached, whether there is a token, what ends soon.
//
// It owns its findings and their wording until they are handed over. Nothing waits for
// it: it runs beside the connections, for five seconds at most, and ends with the
// drain. It never changes anything and never joins a hybrid connection, so no listener
// dials its target for it.
package preflight

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
)

// Preflight is one look. Its fields are set before Run.
type Preflight struct {
	// Plan is what the sidecar serves.
	Plan plan.Plan
	// ResolvConf is the file that names the machine's resolvers.
	ResolvConf string
	// Clock makes an ordinary request to the relay of a namespace, and returns by how
	// much this machine's clock is ahead of it. Required.
	Clock func(ctx context.Context, namespace string) (time.Duration, error)
	// Offset is told what Clock has returned, unless that is 0. Nil means nobody.
	Offset func(namespace string, offset time.Duration)
	// Identities are those of Entra ID, whose tokens are waited for.
	Identities []*identity.Source
	// Guard wraps what runs on each goroutine; nil leaves it as it is.
	Guard func(f func()) func()
}

// wait bounds the whole look.
const wait = 5 * time.Second

// atOnce is how many questions are put at the same time.
const atOnce = 8

// Run returns what it finds, faults first. What is not known after five seconds, or
// when ctx ends, is left out.
func (p *Preflight) Run(ctx context.Context) []admin.Finding {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	looks := p.looks()
	found := make([][]admin.Finding, len(looks))
	var looking errgroup.Group
	looking.SetLimit(atOnce)
	for i, look := range looks {
		looking.Go(func() error {
			p.guarded(func() {
				if ctx.Err() == nil { // else nothing is known of it
					found[i] = look(ctx)
				}
			})()
			return nil
		})
	}
	_ = looking.Wait() // none of them fails: what goes wrong is a finding
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b admin.Finding) int { return cmp.Compare(severity(b.Level), severity(a.Level)) })
	return all
}

// looks are the questions, in the order of the findings.
func (p *Preflight) looks() []func(context.Context) []admin.Finding {
	looks := []func(context.Context) []admin.Finding{p.names, p.others, p.loops, p.ports, p.routes, p.signatures}
	asked := make(map[string]bool)
	for _, e := range p.Plan.Endpoints {
		if !asked[e.Namespace] {
			asked[e.Namespace] = true
			looks = append(looks, func(ctx context.Context) []admin.Finding { return p.relay(ctx, e.Namespace) })
		}
	}
	for _, source := range p.Identities {
		looks = append(looks, func(ctx context.Context) []admin.Finding { return p.identity(ctx, source) })
	}
	return looks
}

func (p *Preflight) guarded(f func()) func() {
	if p.Guard == nil {
		return f
	}
	return p.Guard(f)
}

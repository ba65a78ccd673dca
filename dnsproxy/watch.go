package dnsproxy

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// An upstream that does not answer is probed after probeFirst, and then ever more
// slowly, but so that it is noticed within five seconds when it does.
const (
	probeFirst = time.Second
	probeEvery = 4 * time.Second
)

// watch looks after one upstream: whether it leads back to us, and when it
// answers again after it did not. Queries need not find that out: each would
// wait in vain first.
func (p *proxy) watch(ctx context.Context, u *upstream) {
	for {
		select {
		case <-u.trouble:
		case <-ctx.Done():
			return
		}
		for pause := probeFirst; u.doubtful.Load() || u.silent.Load(); pause = min(2*pause, probeEvery) {
			began := time.Now()
			instance, err := p.pool.askInstance(ctx, u, probeName(p.instance))
			if err == nil || errors.Is(err, errUnwell) {
				p.pool.back(ctx, u)
				p.judge(ctx, u, instance)
			} else {
				p.pool.gone(ctx, u, began, err)
			}
			if !sleep(ctx, time.Until(began.Add(pause))) {
				return
			}
		}
	}
}

// judge leaves an upstream out that answers what only we can: queries sent there
// come back to us and multiply. Another sidecar passes the name on like any
// other: one behind us is welcome, one that leads back is not.
func (p *proxy) judge(ctx context.Context, u *upstream, instance string) {
	if instance == p.instance && !u.loops.Swap(true) {
		p.log.LogAttrs(ctx, slog.LevelError,
			"DNS upstream leads back to this process and is not used: set HYCO_DNS_UPSTREAMS to resolvers that do not",
			slog.String("upstream", u.addr.String()))
	}
}

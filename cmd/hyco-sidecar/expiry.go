package main

import (
	"context"
	"log/slog"
	"time"
)

// warnAhead is when to say that a ready-made signature ends, before it does.
var warnAhead = []time.Duration{24 * time.Hour, time.Hour, 0}

// watchExpiry warns of ready-made signatures that end, until ctx ends.
func (k *credentials) watchExpiry(ctx context.Context) {
	warned := make(map[warning]bool)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.changed:
		}
		if next := k.warnOfExpiry(time.Now(), warned); next > 0 {
			timer.Reset(min(next, 24*time.Hour)) // a clock may be put right meanwhile
		}
	}
}

// warning is one that is given once.
type warning struct {
	endpoint string
	expires  time.Time
	ahead    time.Duration
}

// warnOfExpiry gives the warnings that are due at now, the most urgent of each
// signature, and returns how long until the next may be; 0 means never.
func (k *credentials) warnOfExpiry(now time.Time, warned map[warning]bool) (next time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.endpoints {
		for _, s := range p.sources {
			expires := expiry(s)
			if expires.IsZero() {
				continue
			}
			left := expires.Sub(now)
			for _, ahead := range warnAhead {
				if until := left - ahead; until > 0 {
					if next == 0 || until < next {
						next = until
					}
					continue
				}
				w := warning{p.name, expires, ahead}
				if soonest(left) == ahead && !warned[w] {
					k.log.LogAttrs(context.Background(), slog.LevelWarn, "a ready-made signature ends soon", slog.String("endpoint", p.name),
						slog.String("until", expires.UTC().Format(time.RFC3339)),
						slog.String("next", "write a new SharedAccessSignature, or a key from which tokens are made as they are needed"))
				}
				warned[w] = true
			}
		}
	}
	return next
}

// soonest is the last of the marks that have been passed.
func soonest(left time.Duration) time.Duration {
	last := warnAhead[0]
	for _, ahead := range warnAhead {
		if left <= ahead {
			last = ahead
		}
	}
	return last
}

package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// signature is a ready-made one among the settings.
type signature struct {
	variable string // of its connection string
	expires  time.Time
}

// signatures are the distinct ones, in the order of the settings: the endpoints of
// the compact form share theirs.
func signatures(connections []config.Connection) []signature {
	var all []signature
	known := make(map[signature]bool)
	for _, c := range connections {
		for i, credential := range both(c) {
			s := signature{c.Source, expiry(credential)}
			if i > 0 {
				s.variable = strings.TrimSuffix(c.Source, "CONNECTION_STRING") + "SECONDARY_CONNECTION_STRING"
			}
			if !s.expires.IsZero() && !known[s] {
				known[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// until is when it ends, as messages show it.
func (s signature) until() string { return s.expires.UTC().Format(time.RFC3339) }

// expiry is when a ready-made signature ends, zero for what is made as needed.
func expiry(c config.Credential) time.Time {
	if c.Signature.Empty() {
		return time.Time{}
	}
	return relayclient.NewSharedAccessSignature(c.Signature.Reveal()).Expiry()
}

// shown names a credential, and says when it ends.
func shown(c config.Credential, kind config.IdentityKind) string {
	if expires := expiry(c); !expires.IsZero() {
		return credential(c, kind) + " until " + signature{expires: expires}.until()
	}
	return credential(c, kind)
}

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
		if next := k.warnOfExpiry(ctx, time.Now(), warned); next > 0 {
			timer.Reset(min(next, 24*time.Hour)) // a clock may be put right meanwhile
		}
	}
}

// warning is one that is given once.
type warning struct {
	signature
	ahead time.Duration
}

// warnOfExpiry gives the warnings that are due at now, the most urgent of each
// signature, and returns how long until the next may be; 0 means never.
func (k *credentials) warnOfExpiry(ctx context.Context, now time.Time, warned map[warning]bool) (next time.Duration) {
	k.mu.Lock()
	var connections []config.Connection
	for _, p := range k.endpoints {
		connections = append(connections, p.settings)
	}
	k.mu.Unlock()
	for _, s := range signatures(connections) {
		left := s.expires.Sub(now)
		for _, ahead := range warnAhead {
			if until := left - ahead; until > 0 {
				if next == 0 || until < next {
					next = until
				}
				continue
			}
			w := warning{s, ahead}
			if mark(left) == ahead && !warned[w] {
				k.log.LogAttrs(ctx, slog.LevelWarn, "a ready-made signature ends soon", slog.String("variable", s.variable), slog.String("until", s.until()))
			}
			warned[w] = true
		}
	}
	return next
}

// mark is the last of the marks that have been passed.
func mark(left time.Duration) time.Duration {
	last := warnAhead[0]
	for _, ahead := range warnAhead {
		if left <= ahead {
			last = ahead
		}
	}
	return last
}

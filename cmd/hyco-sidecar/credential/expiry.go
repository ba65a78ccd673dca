package credential

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"hyco-sidecar/config"
)

// Signature is a ready-made SharedAccessSignature among the settings.
type Signature struct {
	Variable string    // of its connection string
	Expires  time.Time // when the relay begins to refuse it
}

// Signatures are the distinct ones, in the order of the settings: the endpoints of
// the compact form share theirs.
func Signatures(connections []config.Connection) []Signature {
	var all []Signature
	known := make(map[Signature]bool)
	for _, c := range connections {
		for i, credential := range both(c) {
			s := Signature{c.Source, expiry(credential)}
			if i > 0 {
				s.Variable = strings.TrimSuffix(c.Source, "CONNECTION_STRING") + "SECONDARY_CONNECTION_STRING"
			}
			if !s.Expires.IsZero() && !known[s] {
				known[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// Until is when the signature ends, as messages show it (RFC 3339).
func (s Signature) Until() string { return s.Expires.UTC().Format(time.RFC3339) }

// FirstWarning is how long before its end a ready-made signature is first warned of.
const FirstWarning = 24 * time.Hour

// warnAhead are the times before the end of a ready-made signature at which a warning
// is due.
var warnAhead = []time.Duration{FirstWarning, time.Hour, 0}

// WatchExpiry warns of ready-made signatures that end, until ctx ends.
func (s *Set) WatchExpiry(ctx context.Context) {
	warned := make(map[warning]bool)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.changed:
		}
		if next := s.warnOfExpiry(ctx, time.Now(), warned); next > 0 {
			timer.Reset(min(next, 24*time.Hour)) // the clock may be set meanwhile
		}
	}
}

// warning is given once.
type warning struct {
	Signature
	ahead time.Duration
}

// warnOfExpiry gives the warnings that are due at now, the most urgent of each
// signature, and returns how long until the next may be; 0 means never.
func (s *Set) warnOfExpiry(ctx context.Context, now time.Time, warned map[warning]bool) (next time.Duration) {
	s.mu.Lock()
	var connections []config.Connection
	for _, one := range s.endpoints {
		connections = append(connections, one.settings)
	}
	s.mu.Unlock()
	for _, signature := range Signatures(connections) {
		left := signature.Expires.Sub(now)
		for _, ahead := range warnAhead {
			if until := left - ahead; until > 0 {
				if next == 0 || until < next {
					next = until
				}
				continue
			}
			w := warning{signature, ahead}
			if mark(left) == ahead && !warned[w] {
				s.log.LogAttrs(ctx, slog.LevelWarn, "a ready-made signature ends soon",
					slog.String("variable", signature.Variable), slog.String("until", signature.Until()))
			}
			warned[w] = true
		}
	}
	return next
}

// mark is the last of warnAhead that has been passed when left remains.
func mark(left time.Duration) time.Duration {
	last := warnAhead[0]
	for _, ahead := range warnAhead {
		if left <= ahead {
			last = ahead
		}
	}
	return last
}

// wakeExpiry has WatchExpiry look at the signatures again.
func (s *Set) wakeExpiry() {
	select {
	case s.changed <- struct{}{}:
	default: // it has been woken already
	}
}

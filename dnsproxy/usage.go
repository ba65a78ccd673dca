package dnsproxy

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// unusedAfter is how long nobody may ask until that is worth a warning. Apps ask
// for their first names while they start; one that has not asked us for so long
// has another resolver.
const unusedAfter = 5 * time.Minute

// Usage says whether anyone asks the [Server]. It counts the queries that could be
// read, for own names and others alike, but none for [Canary] or a name below it
// and none for a name of [Server.Self].
type Usage struct {
	Queries uint64
	Last    time.Time // of the last query, or up to a second before it; zero if there was none
}

// Usage returns what has been asked since Serve was called, the last time if it
// was called more than once. It may be called at any time, also before.
func (s *Server) Usage() Usage {
	if u := s.usage.Load(); u != nil {
		return u.read()
	}
	return Usage{}
}

// usage counts the queries of apps. Every query comes by here, so it neither
// locks nor allocates.
type usage struct {
	queries atomic.Uint64
	last    atomic.Int64  // when the last query came, in Unix nanoseconds
	first   chan struct{} // closed by the first query

	canary []byte              // in wire form
	self   map[string]struct{} // names in wire form and lower case
}

// newUsage returns a usage that leaves out the names in self.
func newUsage(self []string) *usage {
	u := &usage{
		first:  make(chan struct{}),
		canary: appendName(nil, Canary+"."),
		self:   make(map[string]struct{}, len(self)),
	}
	for _, name := range self {
		if key, ok := canonical(name); ok { // any other text cannot be asked for
			u.self[string(appendName(nil, key))] = struct{}{}
		}
	}
	return u
}

// count notes that q has arrived, which counts unless the sidecar asks for itself
// or a person asks for the canary.
func (u *usage) count(q *query, now time.Time) {
	if q.fault != dns.RcodeSuccess || bytes.HasSuffix(q.key, u.canary) {
		return
	}
	if _, ours := u.self[string(q.key)]; ours {
		return
	}
	u.add(now)
}

// add counts a query of an app. The time is stored once a second, since readers
// of several sockets would contend for it; a clock that was set back looks like a
// long time.
func (u *usage) add(now time.Time) {
	if t := now.UnixNano(); uint64(t-u.last.Load()) >= uint64(time.Second) {
		u.last.Store(t)
	}
	if u.queries.Add(1) == 1 {
		close(u.first)
	}
}

// read returns what has been counted.
func (u *usage) read() Usage {
	queries := u.queries.Load()
	if queries == 0 {
		return Usage{}
	}
	return Usage{Queries: queries, Last: time.Unix(0, u.last.Load())}
}

// reportUse logs and tells hook when nobody has asked for unusedAfter, and when
// somebody asks for the first time. It returns then: a silence after the first
// query means nothing, for apps remember addresses and keep connections. Hook may
// be nil.
func (u *usage) reportUse(ctx context.Context, log *slog.Logger, hook func(Usage), listen []string) {
	if hook == nil {
		hook = func(Usage) {}
	}
	timer := time.NewTimer(unusedAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-u.first:
		hook(u.read())
		return
	case <-timer.C:
	}
	log.LogAttrs(ctx, slog.LevelWarn, "no app has asked this resolver for a name since it started",
		slog.Any("dns", listen), slog.String("waited", unusedAfter.String()))
	hook(Usage{})
	select {
	case <-ctx.Done():
	case <-u.first:
		log.LogAttrs(ctx, slog.LevelInfo, "an app uses this resolver now")
		hook(u.read())
	}
}

// listenAddresses returns where the sockets are bound, each address once: UDP and
// TCP mostly share one.
func listenAddresses(packets []net.PacketConn, listeners []net.Listener) []string {
	var all []string
	for _, pc := range packets {
		all = append(all, pc.LocalAddr().String())
	}
	for _, ln := range listeners {
		all = append(all, ln.Addr().String())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

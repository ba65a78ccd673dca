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
// for their first names while they start; one that is not told of us for so long
// has another resolver.
const unusedAfter = 5 * time.Minute

// Usage says whether anyone asks the [Server]: what it counts are queries that
// could be read, own names and others alike, but none for [Canary] or a name
// below it and none for a name of [Server.Self].
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

// usage counts the queries of others. Every query comes by here, so it neither
// locks nor allocates.
type usage struct {
	queries atomic.Uint64
	last    atomic.Int64  // in Unix nanoseconds
	first   chan struct{} // closed by the first query

	canary []byte              // in wire form
	self   map[string]struct{} // names in wire form and lower case
}

func newUsage(self []string) *usage {
	u := &usage{
		first:  make(chan struct{}),
		canary: appendName(nil, Canary+"."),
		self:   make(map[string]struct{}, len(self)),
	}
	for _, name := range self {
		if key, ok := canonical(name); ok { // others cannot be asked for
			u.self[string(appendName(nil, key))] = struct{}{}
		}
	}
	return u
}

// asked notes that q has arrived.
func (u *usage) asked(q *query, now time.Time) {
	if q.fault != dns.RcodeSuccess || bytes.HasSuffix(q.key, u.canary) {
		return
	}
	if _, ours := u.self[string(q.key)]; ours {
		return
	}
	u.note(now)
}

// note counts a query that is known to be of others. The time is stored once a
// second, since readers of several sockets would contend for it; a clock that was
// set back looks like a long time.
func (u *usage) note(now time.Time) {
	if t := now.UnixNano(); uint64(t-u.last.Load()) >= uint64(time.Second) {
		u.last.Store(t)
	}
	if u.queries.Add(1) == 1 {
		close(u.first)
	}
}

func (u *usage) read() Usage {
	queries := u.queries.Load()
	if queries == 0 {
		return Usage{}
	}
	return Usage{Queries: queries, Last: time.Unix(0, u.last.Load())}
}

// watch tells when nobody has asked for too long, and afterwards that somebody
// does. A silence after the first query is nothing to tell of: apps remember
// addresses and keep connections.
func (u *usage) watch(ctx context.Context, log *slog.Logger, tell func(Usage), listen []string) {
	if tell == nil {
		tell = func(Usage) {}
	}
	timer := time.NewTimer(unusedAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-u.first:
		tell(u.read())
		return
	case <-timer.C:
	}
	log.LogAttrs(ctx, slog.LevelWarn, "no app has asked this resolver for a name since it started",
		slog.Any("dns", listen), slog.String("waited", unusedAfter.String()),
		slog.String("next", "have /etc/resolv.conf in the app's container name this resolver and no other: in Kubernetes mount that file there "+
			"or set dnsPolicy None with dnsConfig, in docker compose share this container's network as well (network_mode)"),
		slog.String("otherwise", "if it does, the app looks elsewhere or remembers: an IP address in its settings, a hosts file, a resolver of its own, "+
			"answers from before this start. Give it the endpoint's name and restart it; if its hosts file has the lines of `hyco-sidecar config --hosts`, all is well"))
	tell(Usage{})
	select {
	case <-ctx.Done():
	case <-u.first:
		log.LogAttrs(ctx, slog.LevelInfo, "an app uses this resolver now")
		tell(u.read())
	}
}

// listenAddresses returns where the sockets are bound. UDP and TCP mostly share
// an address.
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

package admin

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"hyco-sidecar/dnsproxy"
)

// sources are where answers come from, in the order in which they are counted.
var sources = []dnsproxy.Source{
	dnsproxy.SourceOwn, dnsproxy.SourceCanary, dnsproxy.SourceForwarded,
	dnsproxy.SourceCache, dnsproxy.SourceStale, dnsproxy.SourceRefused,
}

// rcodes are counted one by one up to here, as are those with a name (RFC 6895
// section 2.3); the others share the last counter.
const rcodes = 24

// dropped are why messages get no answer.
var dropped = []dnsproxy.Dropped{dnsproxy.DroppedStump, dnsproxy.DroppedResponse, dnsproxy.DroppedStray}

// resolver keeps the facts about DNS. Queries come by the hundred thousand, so
// they are counted without a lock or a map.
type resolver struct {
	listen, upstreams []string
	usage             func() dnsproxy.Usage
	upstreamSeconds   *prometheus.HistogramVec
	counts            *resolverCounts
}

type resolverCounts struct {
	answered [6][rcodes + 1]atomic.Int64 // by source and rcode
	dropped  [3]atomic.Int64

	mu       sync.Mutex
	failed   map[netip.AddrPort]int64
	siblings []Sibling
}

func newResolver(o Options) resolver {
	usage := o.Usage
	if usage == nil {
		usage = func() dnsproxy.Usage { return dnsproxy.Usage{} }
	}
	return resolver{
		listen:          o.DNSListen,
		upstreams:       o.DNSUpstreams,
		usage:           usage,
		upstreamSeconds: upstreamSeconds.histogram(),
		counts:          &resolverCounts{failed: make(map[netip.AddrPort]int64)},
	}
}

// Resolver returns the hooks that tell m of names.
func (m *Monitor) Resolver() dnsproxy.Hooks {
	r := m.resolver
	return dnsproxy.Hooks{
		Answered: func(a dnsproxy.Answered) {
			if i := slices.Index(sources, a.Source); i >= 0 {
				r.counts.answered[i][min(max(0, int(a.Rcode)), rcodes)].Add(1)
			}
		},
		Asked: func(a dnsproxy.Asked) {
			if a.Err == nil {
				r.upstreamSeconds.WithLabelValues(a.Upstream.String()).Observe(a.Took.Seconds())
				return
			}
			r.counts.mu.Lock()
			defer r.counts.mu.Unlock()
			r.counts.failed[a.Upstream]++
		},
		Dropped: func(d dnsproxy.Dropped) {
			if i := slices.Index(dropped, d); i >= 0 {
				r.counts.dropped[i].Add(1)
			}
		},
		Sibling: func(s dnsproxy.Sibling) {
			r.counts.mu.Lock()
			defer r.counts.mu.Unlock()
			r.counts.siblings = append(r.counts.siblings, Sibling{Name: s.Name, Configured: s.Configured})
		},
	}
}

func (r *resolver) status() DNS {
	usage := r.usage()
	s := DNS{Listen: r.listen, Upstreams: r.upstreams, AppQueries: usage.Queries, Answers: make(map[string]int64, len(sources))}
	if !usage.Last.IsZero() {
		s.LastAppQuery = &usage.Last
	}
	for i, source := range sources {
		for j := range r.counts.answered[i] {
			s.Answers[string(source)] += r.counts.answered[i][j].Load()
		}
	}
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	s.Siblings = slices.Clone(r.counts.siblings)
	return s
}

// rcodeLabel names a counter of resolverCounts.answered.
func rcodeLabel(i int) string {
	if i == rcodes {
		return "other"
	}
	return dnsproxy.Rcode(i).String()
}

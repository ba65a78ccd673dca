package admin

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"hyco-sidecar/dnsproxy"
)

// Monitor keeps the facts of one run. Make it with [NewMonitor]; its methods may
// be called from any goroutine.
type Monitor struct {
	version   string
	began     time.Time
	limit     int
	endpoints atomic.Pointer[endpoints]
	attempts  attempts
	resolver  resolver
	registry  *prometheus.Registry
	guard     func(f func()) func()
	// identities returns the state of the Entra ID identities.
	identities func() []TokenStats

	dialSeconds       *prometheus.HistogramVec
	connectionSeconds *prometheus.HistogramVec

	reloads, reloadsRejected atomic.Int64 // of secrets

	open     atomic.Int64
	state    atomic.Value         // State
	captured atomic.Pointer[bool] // nil: not by rules

	mu       sync.Mutex
	findings []Finding
	offsets  map[string]time.Duration // of our clock, by namespace
}

// Options are what a Monitor is about.
type Options struct {
	Version        string
	MaxConnections int
	Endpoints      []Endpoint // as [Monitor.Apply] takes them
	DNSListen      []string
	DNSUpstreams   []string
	// Usage is asked how apps use the resolver. Nil is never asked.
	Usage func() dnsproxy.Usage
	// Identities is asked how tokens of Entra ID come. Nil means that none are used.
	Identities func() []TokenStats
	// Guard wraps what runs on each goroutine, the answer to a request included; nil
	// leaves it as it is. It passes [http.ErrAbortHandler] on.
	Guard func(f func()) func()
}

// NewMonitor returns a Monitor in the state [Starting].
func NewMonitor(o Options) *Monitor {
	m := &Monitor{
		version:    o.Version,
		began:      time.Now(),
		limit:      o.MaxConnections,
		resolver:   newResolver(o),
		registry:   prometheus.NewRegistry(),
		offsets:    make(map[string]time.Duration),
		attempts:   attempts{counts: make(map[attempt]int64)},
		findings:   []Finding{},
		guard:      o.Guard,
		identities: o.Identities,
	}
	if m.identities == nil {
		m.identities = func() []TokenStats { return nil }
	}
	m.state.Store(Starting)
	m.Apply(o.Endpoints)
	m.dialSeconds = dialSeconds.histogram()
	m.connectionSeconds = connectionSeconds.histogram()
	m.registry.MustRegister(m.dialSeconds, m.connectionSeconds, m.resolver.upstreamSeconds, collector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// guarded is f as it runs on a goroutine.
func (m *Monitor) guarded(f func()) func() {
	if m.guard == nil {
		return f
	}
	return m.guard(f)
}

// Enter notes that the process has come to a state.
func (m *Monitor) Enter(s State) { m.state.Store(s) }

func (m *Monitor) current() State { return m.state.Load().(State) }

// Captured notes whether the rules are in place that lead connections here. It is
// never called where none are needed.
func (m *Monitor) Captured(inPlace bool) { m.captured.Store(&inPlace) }

// Found notes what a look around has found, instead of what one before did.
func (m *Monitor) Found(findings []Finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.findings = append([]Finding{}, findings...)
}

// ClockOffset notes our clock minus that of a namespace's relay.
func (m *Monitor) ClockOffset(namespace string, offset time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offsets[namespace] = offset
}

// Status returns the present state.
func (m *Monitor) Status() Status {
	s := Status{
		Version:     m.version,
		Started:     m.began,
		Now:         time.Now(),
		State:       m.current(),
		Connections: Connections{Open: m.open.Load(), Limit: m.limit},
		Endpoints:   []Endpoint{},
		DNS:         m.resolver.status(),
	}
	for _, e := range m.endpoints.Load().shown {
		s.Endpoints = append(s.Endpoints, e.status())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Findings = append([]Finding{}, m.findings...)
	return s
}

package admin

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hyco-sidecar/forwarder"
)

// metric describes one metric. Labels have values of the settings or of a fixed
// set, never of what apps send; namespace is none of them,
// for Prometheus in Kubernetes sets that one itself.
type metric struct {
	name, kind, help string
	labels           []string
	buckets          []float64 // of a histogram

	desc *prometheus.Desc
}

func define(kind, name, help string, labels ...string) *metric {
	return &metric{name: name, kind: kind, help: help, labels: labels, desc: prometheus.NewDesc(name, help, labels, nil)}
}

func defineHistogram(buckets []float64, name, help string, labels ...string) *metric {
	m := define("histogram", name, help, labels...)
	m.buckets = buckets
	return m
}

var (
	buildInfo = define("gauge", "hyco_build_info",
		"Always 1; the labels say what runs.", "version", "goversion")
	draining = define("gauge", "hyco_draining",
		"1 while the process drains after SIGTERM or /quitquitquit.")

	captureInPlace = define("gauge", "hyco_capture_in_place",
		"With HYCO_CAPTURE=redirect: 1 while the capture rules are in place, 0 while they are gone; absent without capture.")

	connectionsAccepted = define("counter", "hyco_connections_accepted_total",
		"Connections of apps that were accepted.", "endpoint")
	connectionsEnded = define("counter", "hyco_connections_total",
		"Connections that have ended, by cause; docs/troubleshooting.md explains the causes.", "endpoint", "cause")
	connectionsOpen = define("gauge", "hyco_connections_open",
		"Connections that are being dialled or are open.", "endpoint")
	connectionsLimit = define("gauge", "hyco_connections_limit",
		"HYCO_MAX_CONNECTIONS: as many may be open at once, all endpoints together.")
	connectionBytes = define("counter", "hyco_connection_bytes_total",
		"Bytes carried, while they move: up is from the app to the target, down the other way.", "endpoint", "direction")
	connectionSeconds = defineHistogram([]float64{.1, 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600}, "hyco_connection_seconds",
		"How long connections lasted, in seconds from accept to end.", "endpoint")
	dialSeconds = defineHistogram([]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "hyco_dial_seconds",
		"Time in seconds from accepting a connection until a listener took it, where one did.", "endpoint")
	dialErrors = define("counter", "hyco_dial_errors_total",
		"Connections that no listener took, those of apps that gave up waiting included, by reason; "+
			"docs/troubleshooting.md explains the reasons. A reason appears with its first failure.", "endpoint", "reason")

	endpointInfo = define("gauge", "hyco_endpoint_info",
		"Always 1; the labels say where an endpoint is accepted and where it leads.", "endpoint", "address", "relay", "entity")
	endpointHealthy = define("gauge", "hyco_endpoint_healthy",
		"1 when the last connection was taken, 0 when no listener took it or it reached no target; absent before the first.", "endpoint")
	endpointListeners = define("gauge", "hyco_endpoint_listeners",
		"Listeners that are connected, as reported by the relay within the last three minutes; "+
			"absent while unknown, and for endpoints that are not auto.", "endpoint")
	endpointLastJoined = define("gauge", "hyco_endpoint_last_joined_timestamp_seconds",
		"When a listener last took a connection, in Unix time; absent before.", "endpoint")
	endpointLastFailure = define("gauge", "hyco_endpoint_last_failure_timestamp_seconds",
		"When a connection last failed, in Unix time; absent before.", "endpoint")

	credentialRefused = define("counter", "hyco_credential_refused_total",
		"Times the relay refused a credential, or no token could be obtained for it: the app does not notice while another one is taken.", "endpoint", "credential")
	credentialInUse = define("gauge", "hyco_credential_in_use",
		"1 for the credential that an endpoint uses, 0 for the other: secondary says that the first was refused.", "endpoint", "credential")
	signatureExpiry = define("gauge", "hyco_signature_expiry_timestamp_seconds",
		"When a ready-made SharedAccessSignature ends, in Unix time; absent for keys.", "endpoint", "credential")
	secretReloads = define("counter", "hyco_secret_reloads_total",
		"Secrets in files that have changed, and whether they are used or were rejected.", "result")

	relayAttempts = define("counter", "hyco_relay_attempts_total",
		"Attempts to join a hybrid connection, of which a connection may need several: "+
			"over a TLS connection that was kept warm or not, and with which result.", "relay", "warm", "result")
	clockOffset = define("gauge", "hyco_relay_clock_offset_seconds",
		"This machine's clock minus the relay's, in seconds; absent while unknown. Tokens have expired when they arrive if it is an hour behind.", "relay")

	tokenExpiry = define("gauge", "hyco_entra_token_expiry_timestamp_seconds",
		"When the token of Entra ID ends that is presented now, in Unix time; absent before the first. It is fetched anew ahead of that.", "audience")
	tokenRequests = define("counter", "hyco_entra_token_requests_total",
		"Tokens of Entra ID that were asked for, by whether one came: ok or failed.", "audience", "result")

	dnsQueries = define("counter", "hyco_dns_queries_total",
		"DNS queries answered, by where the answer came from and its response code.", "source", "rcode")
	dnsDropped = define("counter", "hyco_dns_dropped_total",
		"DNS messages left without an answer: too short, not a query, or a reply that matches no query.", "reason")
	dnsAppQueries = define("counter", "hyco_dns_app_queries_total",
		"DNS queries of apps: those of the sidecar itself and for its own test name are left out. 0 after minutes means that no app uses this resolver.")
	dnsLastAppQuery = define("gauge", "hyco_dns_last_app_query_timestamp_seconds",
		"When an app last asked for a name, in Unix time; absent before.")
	upstreamSeconds = defineHistogram([]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}, "hyco_dns_upstream_seconds",
		"Time in seconds until an upstream resolver answered.", "upstream")
	dnsUpstreamErrors = define("counter", "hyco_dns_upstream_errors_total",
		"Queries that an upstream resolver did not answer in time or that could not be sent.", "upstream")
)

// metrics are all of ours, in the order of the documentation.
var metrics = []*metric{
	connectionsAccepted, connectionsEnded, connectionsOpen, connectionsLimit, connectionBytes, connectionSeconds,
	dialSeconds, dialErrors,
	endpointInfo, endpointHealthy, endpointListeners, endpointLastJoined, endpointLastFailure,
	credentialRefused, credentialInUse, signatureExpiry, secretReloads,
	relayAttempts, clockOffset,
	tokenExpiry, tokenRequests,
	dnsQueries, dnsDropped, dnsAppQueries, dnsLastAppQuery, upstreamSeconds, dnsUpstreamErrors,
	captureInPlace, buildInfo, draining,
}

func (d *metric) histogram() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.name, Help: d.help, Buckets: d.buckets}, d.labels)
}

// causes are all values of the label, so that each counter is there before its
// first event: a rate has nothing to begin with otherwise.
var causes = []forwarder.Cause{
	forwarder.Closed, forwarder.RemoteClosed, forwarder.AppReset, forwarder.AppGaveUp, forwarder.AppGone,
	forwarder.DialFailed, forwarder.TunnelDropped, forwarder.TargetUnreachable, forwarder.ClosedWithoutData,
	forwarder.Lingered, forwarder.IdleTimeout, forwarder.Shutdown,
}

// collector reads a Monitor's facts when metrics are asked for.
type collector struct{ *Monitor }

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range metrics {
		if d.kind != "histogram" {
			ch <- d.desc
		}
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	c.guarded(func() { c.collect(sink{ch}) })() // on a goroutine of the registry's
}

func (c collector) collect(s sink) {
	s.put(buildInfo, 1, c.version, runtime.Version())
	s.put(draining, truth(c.current() == Draining))
	s.put(connectionsLimit, float64(c.limit))
	if in := c.captured.Load(); in != nil {
		s.put(captureInPlace, truth(*in))
	}
	for _, e := range c.endpoints.Load().shown {
		e.collect(s)
	}
	s.put(secretReloads, float64(c.reloads.Load()), "changed")
	s.put(secretReloads, float64(c.reloadsRejected.Load()), "rejected")
	c.attempts.collect(s)
	c.resolver.collect(s)
	for _, tokens := range c.identities() {
		tokens.collect(s)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	for namespace, offset := range c.offsets {
		s.put(clockOffset, offset.Seconds(), namespace)
	}
}

func (e *endpoint) collect(s sink) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := e.about.Name
	s.put(endpointInfo, 1, name, e.about.Address, e.about.Namespace, e.about.Entity)
	s.put(connectionsAccepted, float64(e.accepted.Load()), name)
	s.put(connectionsOpen, float64(e.open.Load()), name)
	s.put(connectionBytes, float64(e.traffic.Up.Load()), name, "up")
	s.put(connectionBytes, float64(e.traffic.Down.Load()), name, "down")
	e.collectCredentialsLocked(s)
	for _, cause := range causes {
		s.put(connectionsEnded, float64(e.ended[cause]), name, string(cause))
	}
	for reason, n := range e.refused {
		s.put(dialErrors, float64(n), name, reason)
	}
	if health := e.healthLocked(); health != Unused {
		s.put(endpointHealthy, truth(health == Healthy), name)
	}
	if n := e.listenersLocked(); n != nil {
		s.put(endpointListeners, float64(*n), name)
	}
	if !e.joined.IsZero() {
		s.put(endpointLastJoined, unix(e.joined), name)
	}
	if e.failure != nil {
		s.put(endpointLastFailure, unix(e.failure.At), name)
	}
}

func (a *attempts) collect(s sink) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for kind, n := range a.counts {
		s.put(relayAttempts, float64(n), kind.namespace, strconv.FormatBool(kind.warm), kind.result)
	}
}

func (r *resolver) collect(s sink) {
	for i, source := range sources {
		for j := range r.counts.answered[i] {
			// The usual codes are always there, the rest once they have occurred.
			if n := r.counts.answered[i][j].Load(); n > 0 || j == 0 {
				s.put(dnsQueries, float64(n), string(source), rcodeLabel(j))
			}
		}
	}
	for i, why := range dropped {
		s.put(dnsDropped, float64(r.counts.dropped[i].Load()), string(why))
	}
	usage := r.usage()
	s.put(dnsAppQueries, float64(usage.Queries))
	if !usage.Last.IsZero() {
		s.put(dnsLastAppQuery, unix(usage.Last))
	}
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	for upstream, n := range r.counts.failed {
		s.put(dnsUpstreamErrors, float64(n), upstream.String())
	}
}

// sink is where collected values go.
type sink struct{ ch chan<- prometheus.Metric }

func (s sink) put(d *metric, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if d.kind == "counter" {
		kind = prometheus.CounterValue
	}
	s.ch <- prometheus.MustNewConstMetric(d.desc, kind, value, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

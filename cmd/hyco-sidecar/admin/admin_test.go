package admin

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const sql = "sql01.corp.example:1433"

func newTestMonitor() *Monitor {
	return NewMonitor(Options{
		Version:        "v1.2.3",
		MaxConnections: 2,
		Endpoints: []Endpoint{
			{Name: sql, Address: "127.77.133.98:1433", Namespace: "contoso.servicebus.windows.net", Entity: "sql01-hc"},
			{Name: "api.corp.example:443", Address: "127.77.110.147:443", Namespace: "contoso.servicebus.windows.net", Entity: "api-hc"},
		},
		DNSListen:    []string{"127.0.0.1:53"},
		DNSUpstreams: []string{"10.0.0.10:53"},
	})
}

// ask sends one request to the routes as they are served on loopback.
func ask(t *testing.T, s *Server, method, target string, edit func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8477"+target, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header(), string(body)
}

func TestProbesSayWhatHolds(t *testing.T) {
	m := newTestMonitor()
	s := &Server{Monitor: m}
	expect := func(when string, live, ready, startup int) {
		t.Helper()
		for target, want := range map[string]int{"/livez": live, "/readyz": ready, "/startupz": startup} {
			if code, _, body := ask(t, s, "GET", target, nil); code != want || (code == 200) != (body == "ok\n") {
				t.Errorf("%s, %s: got %d, %q, want %d", when, target, code, body, want)
			}
		}
	}
	expect("starting", 200, 503, 503)
	m.Enter(Serving)
	expect("serving", 200, 200, 200)

	hooks := m.Connections()
	hooks.Accepted(sql)
	hooks.Accepted(sql)
	expect("at the limit", 200, 503, 200)
	if _, _, body := ask(t, s, "GET", "/readyz", nil); !strings.Contains(body, "HYCO_MAX_CONNECTIONS") {
		t.Errorf("at the limit /readyz says %q", body)
	}
	hooks.Closed(forwarder.Summary{Target: sql, Cause: forwarder.Closed})
	expect("below it again", 200, 200, 200)

	hooks.Closed(forwarder.Summary{Target: sql, Cause: forwarder.DialFailed, Err: &relayclient.DialError{Stage: relayclient.StageConnect, Err: io.EOF}})
	expect("with the relay out of reach", 200, 200, 200)
	m.Enter(Draining)
	expect("draining", 200, 503, 200)
}

func TestOnlyWhatIsThereIsServed(t *testing.T) {
	s := &Server{Monitor: newTestMonitor(), Quit: func() { t.Error("it quits") }}
	for _, test := range []struct {
		method, target string
		code           int
		allow          string
	}{
		{"GET", "/healthz", 404, ""},
		{"GET", "/api/status/", 404, ""},
		{"GET", "/index.html", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"POST", "/livez", 405, "GET, HEAD"},
		{"DELETE", "/api/status", 405, "GET, HEAD"},
		{"POST", "/", 405, "GET, HEAD"},
		{"GET", "/quitquitquit", 405, "POST"},
		{"HEAD", "/readyz", 503, ""},
	} {
		code, header, _ := ask(t, s, test.method, test.target, nil)
		if code != test.code || header.Get("Allow") != test.allow {
			t.Errorf("%s %s: got %d, Allow %q, want %d, %q", test.method, test.target, code, header.Get("Allow"), test.code, test.allow)
		}
	}
}

func TestStrangersAndTheirPagesAreKeptOut(t *testing.T) {
	quits := 0
	s := &Server{Monitor: newTestMonitor(), Quit: func() { quits++ }, Pprof: true}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	for _, test := range []struct {
		name, method, target string
		edit                 func(*http.Request)
		want                 int
	}{
		{"rebound name reads", "GET", "/api/status", host("evil.example:8477"), 421},
		{"rebound name opens the page", "GET", "/", host("evil.example"), 421},
		{"rebound name quits", "POST", "/quitquitquit", host("evil.example:8477"), 421},
		{"foreign page quits", "POST", "/quitquitquit", header("Origin", "https://evil.example"), 403},
		{"foreign site quits", "POST", "/quitquitquit", header("Sec-Fetch-Site", "cross-site"), 403},
		{"other machine quits", "POST", "/quitquitquit", from("10.1.2.3:40000"), 403},
		{"other machine profiles", "GET", "/debug/pprof/heap", from("10.1.2.3:40000"), 403},
		{"rebound name scrapes", "GET", "/metrics", host("evil.example:8477"), 421},
		{"scrape by name", "GET", "/metrics", func(r *http.Request) {
			r.Host = "app.default.svc:8477"
			*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8477}))
		}, 200},
		{"probe by name", "GET", "/livez", host("app"), 200},
		{"localhost", "GET", "/api/status", host("localhost:8477"), 200},
		{"IPv6", "GET", "/api/status", host("[::1]:8477"), 200},
		{"profile", "GET", "/debug/pprof/", nil, 200},
		{"arguments", "GET", "/debug/pprof/cmdline", nil, 404},
	} {
		if code, _, body := ask(t, s, test.method, test.target, test.edit); code != test.want {
			t.Errorf("%s: got %d, %q, want %d", test.name, code, body, test.want)
		}
	}
	if quits != 0 {
		t.Errorf("strangers made it quit %d times", quits)
	}
	if code, _, _ := ask(t, s, "POST", "/quitquitquit", header("Origin", "http://127.0.0.1:8477")); code != 200 || quits != 1 {
		t.Errorf("its own page: got %d, quit %d times", code, quits)
	}
}

func refused(err error, status int) *relayclient.DialError {
	return &relayclient.DialError{Entity: "sql01-hc", Host: "contoso.servicebus.windows.net:443", Stage: relayclient.StageUpgrade,
		Status: status, TrackingID: "c0ffee_G1", Err: err}
}

func TestStatusTellsHowAnEndpointFares(t *testing.T) {
	m := newTestMonitor()
	hooks := m.Connections()
	expect := func(when string, health Health, reason string) Endpoint {
		t.Helper()
		var s Status
		_, _, body := ask(t, &Server{Monitor: m}, "GET", "/api/status", nil)
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
		e := s.Endpoints[0]
		got := ""
		if e.LastFailure != nil {
			got = e.LastFailure.Reason
		}
		if e.Health != health || got != reason {
			t.Errorf("%s: got %s, %q, want %s, %q", when, e.Health, got, health, reason)
		}
		return e
	}
	expect("at first", Unused, "")

	hooks.Accepted(sql)
	hooks.Closed(forwarder.Summary{Target: sql, ID: "1", Cause: forwarder.DialFailed, Err: refused(relayclient.ErrNoListener, 404)})
	e := expect("without a listener", Failing, "no_listener")
	if f := e.LastFailure; f.Status != 404 || f.TrackingID != "c0ffee_G1" || f.ID != "1" ||
		f.Next != `start a Hybrid Connection Manager for "sql01-hc", or restart it if the portal shows it as connected` ||
		f.See != "docs/troubleshooting.md#no_listener" {
		t.Errorf("got %+v", *f)
	}

	hooks.Accepted(sql)
	hooks.Dialled(sql, time.Second/4, nil)
	e = expect("with one", Healthy, "no_listener")
	if e.LastJoined == nil || e.JoinSeconds != .25 || e.Open != 1 || e.Total != 2 || e.Failed != 1 {
		t.Errorf("got %+v", e)
	}

	hooks.Closed(forwarder.Summary{Target: sql, ID: "2", Cause: forwarder.TargetUnreachable})
	e = expect("with a listener that reaches no target", Failing, "target_unreachable_suspected")
	if e.LastFailure.Next == "" {
		t.Error("no next step")
	}
	hooks.Dialled(sql, time.Second, nil)
	expect("which takes another connection", Failing, "target_unreachable_suspected")
	m.Traffic(sql).Down.Add(1)
	expect("until a byte comes", Healthy, "target_unreachable_suspected")

	hooks.Closed(forwarder.Summary{Target: sql, ID: "3", Cause: forwarder.AppReset})
	expect("after what an app did", Healthy, "target_unreachable_suspected")

	hooks.Closed(forwarder.Summary{Target: sql, ID: "4", Cause: forwarder.TargetUnreachable})
	m.Traffic(sql).Down.Add(1)
	expect("although an older connection goes on", Failing, "target_unreachable_suspected")
	hooks.Closed(forwarder.Summary{Target: sql, ID: "5", Cause: forwarder.Closed, Up: 1 << 20})
	expect("until one ends well", Healthy, "target_unreachable_suspected")

	hooks.Closed(forwarder.Summary{Target: sql, ID: "6", Cause: forwarder.TunnelDropped, Err: io.ErrUnexpectedEOF})
	expect("with one tunnel of many that dropped", Healthy, "tunnel_dropped")

	hooks.Closed(forwarder.Summary{Target: sql, ID: "7", Cause: forwarder.AppGaveUp})
	expect("with an app that left by itself", Healthy, "tunnel_dropped")
	hooks.Closed(forwarder.Summary{Target: sql, ID: "8", Cause: forwarder.AppGaveUp, Err: refused(relayclient.ErrNoListener, 404)})
	e = expect("with an app that gave up waiting for a listener", Failing, "no_listener")
	if e.Failed != 5 {
		t.Errorf("%d failed, want 5", e.Failed)
	}
}

func TestReadinessExplainsItself(t *testing.T) {
	m := newTestMonitor()
	m.Enter(Serving)
	m.Connections().Accepted(sql)
	s := &Server{Monitor: m}
	if code, _, body := ask(t, s, "GET", "/readyz?verbose", nil); code != 200 || body != "sockets: bound\ndraining: no\nconnections: below HYCO_MAX_CONNECTIONS\nok\n" {
		t.Errorf("got %d, %q", code, body)
	}
	m.Connections().Accepted(sql)
	if code, _, body := ask(t, s, "GET", "/readyz?verbose", nil); code != 503 ||
		body != "sockets: bound\ndraining: no\nconnections: 2 are open, as many as HYCO_MAX_CONNECTIONS allows\n" {
		t.Errorf("got %d, %q", code, body)
	}
}

// TestMetricsEqualWhatHappened compares the text as a scraper sees it.
func TestMetricsEqualWhatHappened(t *testing.T) {
	usage := dnsproxy.Usage{Queries: 7, Last: time.Unix(1700000000, 0)}
	options := Options{Version: "v1.2.3", MaxConnections: 10, Endpoints: []Endpoint{{Name: sql, Address: "127.77.133.98:1433", Namespace: "contoso.servicebus.windows.net", Entity: "sql01-hc"}},
		Usage: func() dnsproxy.Usage { return usage },
		Identities: func() []TokenStats {
			return []TokenStats{{Audience: "https://relay.azure.net", Expires: time.Unix(1700003600, 0), Obtained: 2, Failed: 1}}
		}}
	m := NewMonitor(options)
	m.Enter(Draining)
	m.Credentials(sql, []Credential{{Name: "key send"}, {Name: "shared access signature", Expires: time.Unix(1800000000, 0)}}, 0)
	m.CredentialRefused(sql, 0)
	m.CredentialInUse(sql, 1)
	m.Listeners(sql, 2)
	m.Reloaded(true)
	m.Reloaded(false)
	m.Captured(false)
	if got := m.Status().Endpoints[0].Credential; got != "shared access signature until 2027-01-15T08:00:00Z (secondary)" {
		t.Errorf("the credential is %q", got)
	}
	hooks := m.Connections()
	for range 3 {
		hooks.Accepted(sql)
	}
	hooks.Dialled(sql, 30*time.Millisecond, nil)
	hooks.Closed(forwarder.Summary{Target: sql, Cause: forwarder.Closed, Took: 2 * time.Second})
	hooks.Closed(forwarder.Summary{Target: sql, Cause: forwarder.DialFailed, Took: time.Second, Err: refused(relayclient.ErrUnauthorized, 401)})
	m.Traffic(sql).Up.Add(100)
	m.Traffic(sql).Down.Add(200)
	m.Relay("contoso.servicebus.windows.net").Attempted(relayclient.Attempt{Warm: true, ClockOffset: time.Hour})
	m.Relay("contoso.servicebus.windows.net").Attempted(relayclient.Attempt{Err: refused(relayclient.ErrUnauthorized, 401)})
	m.ClockOffset("contoso.servicebus.windows.net", -90*time.Second)
	names := m.Resolver()
	names.Answered(dnsproxy.Answered{Source: dnsproxy.SourceOwn})
	names.Answered(dnsproxy.Answered{Source: dnsproxy.SourceForwarded, Rcode: 3})
	names.Answered(dnsproxy.Answered{Source: dnsproxy.SourceForwarded, Rcode: 4000})
	names.Asked(dnsproxy.Asked{Upstream: netip.MustParseAddrPort("10.0.0.10:53"), Took: 2 * time.Millisecond})
	names.Asked(dnsproxy.Asked{Upstream: netip.MustParseAddrPort("10.0.0.10:53"), Err: io.EOF})
	names.Dropped(dnsproxy.DroppedStray)

	code, _, text := ask(t, &Server{Monitor: m}, "GET", "/metrics", func(r *http.Request) { r.Header.Set("Accept-Encoding", "identity") })
	if code != 200 {
		t.Fatalf("got %d\n%s", code, text)
	}
	lines := slices.Collect(strings.Lines(text))
	for _, want := range []string{
		`hyco_connections_accepted_total{endpoint="sql01.corp.example:1433"} 3`,
		`hyco_connections_open{endpoint="sql01.corp.example:1433"} 1`,
		`hyco_connections_limit 10`,
		`hyco_connections_total{cause="closed",endpoint="sql01.corp.example:1433"} 1`,
		`hyco_connections_total{cause="dial_failed",endpoint="sql01.corp.example:1433"} 1`,
		`hyco_connections_total{cause="shutdown",endpoint="sql01.corp.example:1433"} 0`,
		`hyco_connection_bytes_total{direction="up",endpoint="sql01.corp.example:1433"} 100`,
		`hyco_connection_bytes_total{direction="down",endpoint="sql01.corp.example:1433"} 200`,
		`hyco_connection_seconds_bucket{endpoint="sql01.corp.example:1433",le="1"} 1`,
		`hyco_connection_seconds_sum{endpoint="sql01.corp.example:1433"} 3`,
		`hyco_dial_seconds_bucket{endpoint="sql01.corp.example:1433",le="0.025"} 0`,
		`hyco_dial_seconds_bucket{endpoint="sql01.corp.example:1433",le="0.05"} 1`,
		`hyco_dial_errors_total{endpoint="sql01.corp.example:1433",reason="unauthorized"} 1`,
		`hyco_endpoint_healthy{endpoint="sql01.corp.example:1433"} 0`,
		`hyco_endpoint_info{address="127.77.133.98:1433",endpoint="sql01.corp.example:1433",entity="sql01-hc",relay="contoso.servicebus.windows.net"} 1`,
		`hyco_relay_attempts_total{relay="contoso.servicebus.windows.net",result="ok",warm="true"} 1`,
		`hyco_relay_attempts_total{relay="contoso.servicebus.windows.net",result="unauthorized",warm="false"} 1`,
		`hyco_relay_clock_offset_seconds{relay="contoso.servicebus.windows.net"} -90`,
		`hyco_entra_token_expiry_timestamp_seconds{audience="https://relay.azure.net"} 1.7000036e+09`,
		`hyco_entra_token_requests_total{audience="https://relay.azure.net",result="ok"} 2`,
		`hyco_entra_token_requests_total{audience="https://relay.azure.net",result="failed"} 1`,
		`hyco_dns_queries_total{rcode="NOERROR",source="own"} 1`,
		`hyco_dns_queries_total{rcode="NXDOMAIN",source="forwarded"} 1`,
		`hyco_dns_queries_total{rcode="other",source="forwarded"} 1`,
		`hyco_dns_upstream_seconds_count{upstream="10.0.0.10:53"} 1`,
		`hyco_dns_upstream_errors_total{upstream="10.0.0.10:53"} 1`,
		`hyco_dns_dropped_total{reason="stray"} 1`,
		`hyco_dns_app_queries_total 7`,
		`hyco_dns_last_app_query_timestamp_seconds 1.7e+09`,
		`hyco_draining 1`,
		`hyco_credential_refused_total{credential="first",endpoint="sql01.corp.example:1433"} 1`,
		`hyco_credential_in_use{credential="secondary",endpoint="sql01.corp.example:1433"} 1`,
		`hyco_signature_expiry_timestamp_seconds{credential="secondary",endpoint="sql01.corp.example:1433"} 1.8e+09`,
		`hyco_secret_reloads_total{result="changed"} 1`,
		`hyco_endpoint_listeners{endpoint="sql01.corp.example:1433"} 2`,
		`hyco_secret_reloads_total{result="rejected"} 1`,
		`hyco_capture_in_place 0`,
	} {
		if !slices.Contains(lines, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	// What is documented is all there is, and there.
	for _, d := range metrics {
		if !strings.Contains(text, "# HELP "+d.name+" "+d.help+"\n") || !strings.Contains(text, "# TYPE "+d.name+" "+d.kind+"\n") {
			t.Errorf("%s is not shown as it is documented", d.name)
		}
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "# HELP "), " ")
		if strings.HasPrefix(line, "# HELP hyco_") && !slices.ContainsFunc(metrics, func(d *metric) bool { return d.name == name }) {
			t.Errorf("%s is not documented", name)
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	const path = "../../../docs/metrics.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the metrics say: run `make metrics` (%v)", path, err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Metrics

At ` + "`/metrics`" + ` of the admin server (` + "`HYCO_ADMIN_LISTEN`" + `), in Prometheus' text format. Labels have values of the settings
or of a fixed set, never of what apps send. The Go runtime's ` + "`go_…`" + ` and the process's ` + "`process_…`" + ` are there as well.

This page is written by ` + "`make metrics`" + `.

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, d := range metrics {
		labels := "–"
		if len(d.labels) > 0 {
			labels = "`" + strings.Join(d.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.name, d.kind, labels, d.help)
	}
	list := func(label, of string, values ...string) {
		fmt.Fprintf(&b, "\nValues of `%s` in `%s`: `%s`.\n", label, of, strings.Join(values, "`, `"))
	}
	var all []string
	for _, c := range causes {
		all = append(all, string(c))
	}
	list("cause", connectionsEnded.name, all...)
	all = nil
	for _, s := range sources {
		all = append(all, string(s))
	}
	list("source", dnsQueries.name, all...)
	all = nil
	for _, d := range dropped {
		all = append(all, string(d))
	}
	list("reason", dnsDropped.name, all...)
	return b.String()
}

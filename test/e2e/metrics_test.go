package e2e_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// admin is where the sidecar's admin server is unless it is set otherwise.
const admin = "http://127.0.0.1:8477"

// figures are a scrape of /metrics: values by name and labels, as they stand there.
type figures map[string]float64

func (w *world) scrape(t testing.TB) (f figures, text string) {
	t.Helper()
	text = w.mustRun(t, w.app, command{}, "curl", "-sSf", admin+"/metrics")
	f = make(figures)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		f[line[:i]] = value
	}
	return f, text
}

// since is by how much the metrics of a name have grown, those that have not left
// out.
func (f figures) since(before figures, name string) map[string]float64 {
	grown := make(map[string]float64)
	for series, value := range f {
		if labels, ok := strings.CutPrefix(series, name); ok && (labels == "" || labels[0] == '{') && value != before[series] {
			grown[labels] = value - before[series]
		}
	}
	return grown
}

func wantFigures(t *testing.T, name string, got, want map[string]float64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// TestMetricsAreWhatHappened runs a script and counts on its own.
func TestMetricsAreWhatHappened(t *testing.T) {
	needs(t, "curl", "dig", "promtool")
	w := newWorld(t)
	w.serve(t, w.site, "digest", "127.0.0.2:18090")
	w.serve(t, w.site, "stream", "127.0.0.2:10019")
	relay := w.relay(t, contoso,
		"load-hc=load.corp.example:8090@127.0.0.2:18090",
		"stream-hc=stream.corp.example:19@127.0.0.2:10019",
		"refused-hc=refused.corp.example:80@127.0.0.2:10079",
		"nobody-hc")
	wrong := relay.entity(t, "load-hc", "wrongkey.corp.example:80")
	wrong.sender = withField(wrong.sender, "SharedAccessKey", "bm90IHRoZSBrZXk=")
	settings := w.settings(t, append(relay.connections[:3:3], relay.entity(t, "nobody-hc", "nobody.corp.example:80"), wrong), relay.caFile)
	s := w.sidecar(t, append(settings, "HYCO_CONNECT_TIMEOUT=2s")...)
	// The apps know the addresses, so that no query comes between.
	address := func(host, port string) string { return w.standIn(t, settings, host) + ":" + port }
	before, _ := w.scrape(t)

	const exchanges, size = 5, 100_000
	t.Run("Connections", func(t *testing.T) {
		load := w.role(t, w.app, "load", fmt.Sprint(exchanges), fmt.Sprint(size), address("load.corp.example", "8090"))
		load.mustEnd(t, patience, "all equal")
		streaming := &client{process: w.role(t, w.app, "client")}
		streaming.mustDo(t, "dial "+address("stream.corp.example", "19"), "ok")
		streaming.mustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", patternSum(0, 65536)))
		eventually(t, patience, "an open connection and its bytes in the metrics", func() bool {
			now, _ := w.scrape(t)
			return now[`hyco_connections_open{endpoint="stream.corp.example:19"}`] == 1 &&
				now[`hyco_connection_bytes_total{direction="down",endpoint="stream.corp.example:19"}`] >= 65536
		})
		streaming.mustDo(t, "reset", "ok")
		for _, endpoint := range []string{"refused.corp.example:80", "nobody.corp.example:80", "nobody.corp.example:80", "wrongkey.corp.example:80"} {
			host, port, _ := strings.Cut(endpoint, ":")
			if got := w.attempt(t, address(host, port)).answer(t, patience); got != "ECONNRESET after 0 bytes" {
				t.Errorf("%s: the app saw %q, want a reset", endpoint, got)
			}
		}
		const ends = exchanges + 1 + 4
		s.await(t, &s.stderr, patience, "the lines of all ends", func(string) bool { return len(s.closed("")) >= ends })
		var now figures
		eventually(t, patience, "all ends in the metrics", func() bool {
			now, _ = w.scrape(t)
			total := 0.0
			for _, n := range now.since(before, "hyco_connections_total") {
				total += n
			}
			return total >= ends
		})

		causes, up, down := make(map[string]float64), make(map[string]float64), make(map[string]float64)
		accepted := make(map[string]float64)
		for _, e := range s.closed("") {
			causes[fmt.Sprintf("{cause=%q,endpoint=%q}", e.Cause, e.Endpoint)]++
			accepted[fmt.Sprintf("{endpoint=%q}", e.Endpoint)]++
			for direction, n := range map[string]int64{"up": e.Up, "down": e.Down} {
				if n > 0 {
					map[string]map[string]float64{"up": up, "down": down}[direction][fmt.Sprintf("{direction=%q,endpoint=%q}", direction, e.Endpoint)] += float64(n)
				}
			}
		}
		maps.Copy(up, down)
		wantFigures(t, "connections, as the log has them", now.since(before, "hyco_connections_total"), causes)
		wantFigures(t, "accepted", now.since(before, "hyco_connections_accepted_total"), accepted)
		wantFigures(t, "bytes, as the log has them", now.since(before, "hyco_connection_bytes_total"), up)
		wantFigures(t, "lives", now.since(before, "hyco_connection_seconds_count"), accepted)
		wantFigures(t, "open", now.since(before, "hyco_connections_open"), map[string]float64{})
		// What the script knows by itself.
		for series, want := range map[string]float64{
			`hyco_connections_total{cause="app_reset",endpoint="stream.corp.example:19"}`:                     1,
			`hyco_connections_total{cause="target_unreachable_suspected",endpoint="refused.corp.example:80"}`: 1,
			`hyco_connections_total{cause="dial_failed",endpoint="nobody.corp.example:80"}`:                   2,
			`hyco_connections_total{cause="dial_failed",endpoint="wrongkey.corp.example:80"}`:                 1,
			`hyco_connections_accepted_total{endpoint="load.corp.example:8090"}`:                              exchanges,
			// A header of 9 bytes up; a greeting and a checksum down.
			`hyco_connection_bytes_total{direction="up",endpoint="load.corp.example:8090"}`:   exchanges * (size + 9),
			`hyco_connection_bytes_total{direction="down",endpoint="load.corp.example:8090"}`: exchanges * (size + 1 + 32),
			`hyco_dial_seconds_count{endpoint="load.corp.example:8090"}`:                      exchanges,
			`hyco_endpoint_healthy{endpoint="load.corp.example:8090"}`:                        1,
			`hyco_endpoint_healthy{endpoint="nobody.corp.example:80"}`:                        0,
			`hyco_endpoint_healthy{endpoint="refused.corp.example:80"}`:                       0,
			`hyco_connections_limit`: 4096,
			`hyco_draining`:          0,
		} {
			if got, ok := now[series]; !ok || got != want {
				t.Errorf("%s: got %v, want %v", series, got, want)
			}
		}
		wantFigures(t, "dial errors", now.since(before, "hyco_dial_errors_total"), map[string]float64{
			`{endpoint="nobody.corp.example:80",reason="no_listener"}`:    2,
			`{endpoint="wrongkey.corp.example:80",reason="unauthorized"}`: 1,
		})
		joined := 0.0
		for labels, n := range now.since(before, "hyco_relay_attempts_total") {
			if strings.Contains(labels, `result="ok"`) {
				joined += n
			}
		}
		if want := float64(exchanges + 1 + 1); joined != want { // the refused target's listener joins as well
			t.Errorf("attempts that joined: got %v, want %v", joined, want)
		}
	})

	t.Run("Queries", func(t *testing.T) {
		before, _ := w.scrape(t)
		for _, query := range [][]string{
			{"load.corp.example", "A"}, {"LOAD.corp.example", "A"}, {"load.corp.example", "AAAA"},
			{"hyco-sidecar.internal", "TXT"},
			{"www.example", "A"}, {"www.example", "A"},
			{"missing.example", "A"},
			{"+opcode=STATUS", "www.example"},
		} {
			w.mustRun(t, w.app, command{}, append([]string{"dig", "+tries=1", "+time=5", "+nocookie", "@127.0.0.1"}, query...)...)
		}
		now, _ := w.scrape(t)
		wantFigures(t, "queries", now.since(before, "hyco_dns_queries_total"), map[string]float64{
			`{rcode="NOERROR",source="own"}`:        3,
			`{rcode="NOERROR",source="canary"}`:     1,
			`{rcode="NOERROR",source="forwarded"}`:  1,
			`{rcode="NXDOMAIN",source="forwarded"}`: 1,
			`{rcode="NOERROR",source="cache"}`:      1,
			`{rcode="NOTIMP",source="refused"}`:     1,
		})
		wantFigures(t, "upstream", now.since(before, "hyco_dns_upstream_seconds_count"), map[string]float64{
			fmt.Sprintf("{upstream=%q}", siteAddress+":53"): 2,
		})
		wantFigures(t, "queries of apps", now.since(before, "hyco_dns_app_queries_total"), map[string]float64{"": 6})
	})

	t.Run("Promtool", func(t *testing.T) {
		_, text := w.scrape(t)
		r := w.run(t, w.app, command{stdin: strings.NewReader(text)}, "promtool", "check", "metrics")
		if r.code != 0 || r.stdout+r.stderr != "" {
			t.Errorf("promtool: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		// Labels come from the settings or from fixed sets: no address of a client,
		// no id, no name that an app asked for.
		labels := regexp.MustCompile(`[{,]([a-z]+)="`)
		known := []string{"endpoint", "cause", "direction", "reason", "le", "relay", "warm", "result", "address", "entity",
			"source", "rcode", "upstream", "version", "goversion", "quantile", "credential", "audience"}
		for _, m := range labels.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(known, m[1]) {
				t.Errorf("the metrics have a label %s", m[1])
			}
		}
		if strings.Contains(text, "missing.example") {
			t.Error("the metrics have a name that an app asked for")
		}
	})
}

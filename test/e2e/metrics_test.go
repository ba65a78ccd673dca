//go:build linux

package e2e_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

func wantFigures(t *testing.T, name string, got, want map[string]float64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// TestMetricsAreWhatHappened runs a script and counts on its own.
func TestMetricsAreWhatHappened(t *testing.T) {
	world.Needs(t, "curl", "dig", "promtool")
	w := world.New(t)
	w.Serve(t, w.Site, "digest", "127.0.0.2:18090")
	w.Serve(t, w.Site, "stream", "127.0.0.2:10019")
	relay := w.Relay(t, world.Contoso,
		"load-hc=load.corp.example:8090@127.0.0.2:18090",
		"stream-hc=stream.corp.example:19@127.0.0.2:10019",
		"refused-hc=refused.corp.example:80@127.0.0.2:10079",
		"nobody-hc")
	wrong := relay.Entity(t, "load-hc", "wrongkey.corp.example:80")
	wrong.Sender = world.WithField(wrong.Sender, "SharedAccessKey", "bm90IHRoZSBrZXk=")
	settings := w.Settings(t, append(relay.Connections[:3:3], relay.Entity(t, "nobody-hc", "nobody.corp.example:80"), wrong), relay.CAFile)
	s := w.Sidecar(t, append(settings, "HYCO_CONNECT_TIMEOUT=2s")...)
	// The apps know the addresses, so that no query comes between.
	address := func(host, port string) string { return w.StandIn(t, settings, host) + ":" + port }
	before, _ := w.Scrape(t)

	const exchanges, size = 5, 100_000
	t.Run("Connections", func(t *testing.T) {
		load := w.Role(t, w.App, "load", fmt.Sprint(exchanges), fmt.Sprint(size), address("load.corp.example", "8090"))
		load.MustEnd(t, world.Patience, "all equal")
		streaming := w.StartClient(t)
		streaming.MustDo(t, "dial "+address("stream.corp.example", "19"), "ok")
		streaming.MustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", role.PatternSum(0, 65536)))
		world.Eventually(t, world.Patience, "an open connection and its bytes in the metrics", func() bool {
			now, _ := w.Scrape(t)
			return now[`hyco_connections_open{endpoint="stream.corp.example:19"}`] == 1 &&
				now[`hyco_connection_bytes_total{direction="down",endpoint="stream.corp.example:19"}`] >= 65536
		})
		streaming.MustDo(t, "reset", "ok")
		for _, endpoint := range []string{"refused.corp.example:80", "nobody.corp.example:80", "nobody.corp.example:80", "wrongkey.corp.example:80"} {
			host, port, _ := strings.Cut(endpoint, ":")
			if got := w.Attempt(t, address(host, port)).Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
				t.Errorf("%s: the app saw %q, want a reset", endpoint, got)
			}
		}
		const ends = exchanges + 1 + 4
		s.Await(t, &s.Stderr, world.Patience, "the lines of all ends", func(string) bool { return len(s.Closed("")) >= ends })
		var now world.Figures
		world.Eventually(t, world.Patience, "all ends in the metrics", func() bool {
			now, _ = w.Scrape(t)
			total := 0.0
			for _, n := range now.Since(before, "hyco_connections_total") {
				total += n
			}
			return total >= ends
		})

		causes, up, down := make(map[string]float64), make(map[string]float64), make(map[string]float64)
		accepted := make(map[string]float64)
		for _, e := range s.Closed("") {
			causes[fmt.Sprintf("{cause=%q,endpoint=%q}", e.Cause, e.Endpoint)]++
			accepted[fmt.Sprintf("{endpoint=%q}", e.Endpoint)]++
			for direction, n := range map[string]int64{"up": e.Up, "down": e.Down} {
				if n > 0 {
					map[string]map[string]float64{"up": up, "down": down}[direction][fmt.Sprintf("{direction=%q,endpoint=%q}", direction, e.Endpoint)] += float64(n)
				}
			}
		}
		maps.Copy(up, down)
		wantFigures(t, "connections, as the log has them", now.Since(before, "hyco_connections_total"), causes)
		wantFigures(t, "accepted", now.Since(before, "hyco_connections_accepted_total"), accepted)
		wantFigures(t, "bytes, as the log has them", now.Since(before, "hyco_connection_bytes_total"), up)
		wantFigures(t, "lives", now.Since(before, "hyco_connection_seconds_count"), accepted)
		wantFigures(t, "open", now.Since(before, "hyco_connections_open"), map[string]float64{})
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
		wantFigures(t, "dial errors", now.Since(before, "hyco_dial_errors_total"), map[string]float64{
			`{endpoint="nobody.corp.example:80",reason="no_listener"}`:    2,
			`{endpoint="wrongkey.corp.example:80",reason="unauthorized"}`: 1,
		})
		joined := 0.0
		for labels, n := range now.Since(before, "hyco_relay_attempts_total") {
			if strings.Contains(labels, `result="ok"`) {
				joined += n
			}
		}
		if want := float64(exchanges + 1 + 1); joined != want { // the refused target's listener joins as well
			t.Errorf("attempts that joined: got %v, want %v", joined, want)
		}
	})

	t.Run("Queries", func(t *testing.T) {
		before, _ := w.Scrape(t)
		for _, query := range [][]string{
			{"load.corp.example", "A"}, {"LOAD.corp.example", "A"}, {"load.corp.example", "AAAA"},
			{"hyco-sidecar.internal", "TXT"},
			{"www.example", "A"}, {"www.example", "A"},
			{"missing.example", "A"},
			{"+opcode=STATUS", "www.example"},
		} {
			w.MustRun(t, w.App, world.Command{}, append([]string{"dig", "+tries=1", "+time=5", "+nocookie", "@127.0.0.1"}, query...)...)
		}
		now, _ := w.Scrape(t)
		wantFigures(t, "queries", now.Since(before, "hyco_dns_queries_total"), map[string]float64{
			`{rcode="NOERROR",source="own"}`:        3,
			`{rcode="NOERROR",source="canary"}`:     1,
			`{rcode="NOERROR",source="forwarded"}`:  1,
			`{rcode="NXDOMAIN",source="forwarded"}`: 1,
			`{rcode="NOERROR",source="cache"}`:      1,
			`{rcode="NOTIMP",source="refused"}`:     1,
		})
		wantFigures(t, "upstream", now.Since(before, "hyco_dns_upstream_seconds_count"), map[string]float64{
			fmt.Sprintf("{upstream=%q}", world.SiteAddress+":53"): 2,
		})
		wantFigures(t, "queries of apps", now.Since(before, "hyco_dns_app_queries_total"), map[string]float64{"": 6})
	})

	t.Run("Promtool", func(t *testing.T) {
		_, text := w.Scrape(t)
		r := w.Run(t, w.App, world.Command{Stdin: strings.NewReader(text)}, "promtool", "check", "metrics")
		if r.Code != 0 || r.Stdout+r.Stderr != "" {
			t.Errorf("promtool: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
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

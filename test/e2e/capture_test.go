package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const redirect = "HYCO_CAPTURE=redirect"

// beyond are addresses that the private network's endpoints are known by. Nobody
// has them; app has a route there, as containers have.
const (
	beyond4 = "10.1.2.3"
	beyond6 = "fd00:1::5"
)

// routed gives app a route to addresses beyond site.
func (w *world) routed(t testing.TB) {
	t.Helper()
	if err := ipBatch("-n", w.app,
		"address add fd00:213::1/64 dev eth0 nodad",
		"route add default via "+siteAddress,
		"route add ::/0 via fd00:213::2 dev eth0",
	); err != nil {
		t.Fatal(err)
	}
}

// tables are nftables' in app.
func (w *world) tables(t testing.TB) []string {
	t.Helper()
	var list struct {
		Nftables []struct {
			Table *struct{ Family, Name string }
		}
	}
	if err := json.Unmarshal([]byte(w.mustRun(t, w.app, command{}, "nft", "-j", "list", "tables")), &list); err != nil {
		t.Fatal(err)
	}
	var tables []string
	for _, one := range list.Nftables {
		if one.Table != nil {
			tables = append(tables, one.Table.Family+" "+one.Table.Name)
		}
	}
	return tables
}

func (w *world) wantTables(t testing.TB, when string, want ...string) {
	t.Helper()
	if got := w.tables(t); !slices.Equal(got, want) {
		t.Errorf("%s: tables %q, want %q", when, got, want)
	}
}

const ourTable = "inet hyco_sidecar"

// curl is what curl gets from url.
func (w *world) curl(t testing.TB, url string) string {
	t.Helper()
	return w.mustRun(t, w.app, command{}, "curl", "-sS", "-g", url)
}

// TestCapture has the kernel lead connections to the sidecar: no port of an endpoint
// is bound, and addresses are endpoints.
func TestCapture(t *testing.T) {
	needs(t, "curl", "nft", postgresPrograms+"initdb", "psql", "setpriv")
	w := newWorld(t)
	w.routed(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.serve(t, w.site, "http", "127.0.0.2:18081", "the stock of contoso")
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	startPostgres(t, w)
	own := w.serve(t, w.app, "http", "0.0.0.0:8080", "the app itself")
	relay := w.relay(t, contoso,
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"stock-hc=orders.corp.example:80@127.0.0.2:18081",
		"ten-hc="+beyond4+":80@127.0.0.2:18080",
		"sql-hc="+beyond4+":5432@127.0.0.4:15432",
		"six-hc=["+beyond6+"]:80@127.0.0.2:18080",
		"seven-hc=["+beyond6+"]:7@127.0.0.2:10007",
		"echo-hc=echo.corp.example:7@127.0.0.2:10007",
		// The relay's own address and port are an endpoint as well.
		"here-hc="+siteAddress+":443@127.0.0.2:18081")
	settings := append(w.settings(t, relay.connections, relay.caFile), redirect)
	s := w.sidecar(t, settings...)
	w.wantTables(t, "serving", ourTable)

	t.Run("PortsAreTheApps", func(t *testing.T) {
		w.serve(t, w.app, "http", "0.0.0.0:5432", "an app that starts later")
		for url, want := range map[string]string{
			"http://orders.corp.example:8080/": "the orders of contoso\n",
			"http://127.0.0.1:8080/":           "the app itself\n",
			"http://" + appAddress + ":8080/":  "the app itself\n",
			"http://127.0.0.1:5432/":           "an app that starts later\n",
			"http://orders.corp.example/":      "the stock of contoso\n",
		} {
			if got := w.curl(t, url); got != want {
				t.Errorf("%s: got %q, want %q", url, got, want)
			}
		}
	})

	t.Run("AddressesAreEndpoints", func(t *testing.T) {
		for url, want := range map[string]string{
			"http://" + beyond4 + "/":         "the orders of contoso\n",
			"http://[" + beyond6 + "]/":       "the orders of contoso\n",
			"http://[::ffff:" + beyond4 + "]": "the orders of contoso\n",
		} {
			if got := w.curl(t, url); got != want {
				t.Errorf("%s: got %q, want %q", url, got, want)
			}
		}
		got := w.mustRun(t, w.app, command{}, "psql", "-h", beyond4, "-U", "postgres", "-X", "-qAt", "-c", "show server_version", "postgres")
		if !strings.HasPrefix(got, "15.") {
			t.Errorf("psql: got %q, want 15", got)
		}
		if r := w.run(t, w.app, command{}, "curl", "-sS", "--max-time", "1", "http://"+beyond4+":81/"); r.code == 0 {
			t.Error("a port that is no endpoint's was captured")
		}
	})

	t.Run("OurOwnConnectionsAreNot", func(t *testing.T) {
		if got, want := w.curl(t, "http://"+siteAddress+":443/"), "the stock of contoso\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		s.awaitClosed(t, siteAddress+":443", 1)
		if n := len(s.closed(siteAddress + ":443")); n != 1 {
			t.Errorf("%d connections to the relay's address came to the sidecar, want the one of curl", n)
		}
	})

	// The kernel holds connections apart by their two ends. Had all endpoints one
	// end at the sidecar, it would have to change the app's port here.
	t.Run("AppsKeepTheirPorts", func(t *testing.T) {
		endpoints := []string{"orders.corp.example:80", beyond4 + ":80", "orders.corp.example:8080"}
		var apps []*client
		for _, endpoint := range endpoints {
			c := &client{process: w.role(t, w.app, "client")}
			c.mustDo(t, "from 20202", "ok")
			c.mustDo(t, "dial "+endpoint, "ok")
			c.mustDo(t, "write GET / HTTP/1.0", "ok")
			apps = append(apps, c)
		}
		for i, c := range apps {
			c.mustDo(t, "write ", "ok")
			c.mustDo(t, "line", "HTTP/1.0 200 OK")
			c.mustDo(t, "reset", "ok")
			eventually(t, patience, "a line about port 20202 to "+endpoints[i], func() bool {
				return slices.ContainsFunc(s.closed(endpoints[i]), func(e entry) bool { return strings.HasSuffix(e.Client, ":20202") })
			})
		}
	})

	t.Run("AppsThatLeaveAreNoticed", func(t *testing.T) {
		for _, endpoint := range []string{"echo.corp.example:7", "[" + beyond6 + "]:7"} {
			c := w.client(t, endpoint)
			c.mustDo(t, "write hello", "ok")
			c.mustDo(t, "line", "hello")
			c.mustDo(t, "close", "ok")
			if got := s.awaitClosed(t, endpoint, 1); got.Cause != "app_gone" {
				t.Errorf("logged: %s", got.line)
			}
		}
	})

	// A place leads to its endpoint by itself, and who half-closes is not taken for gone.
	t.Run("PlacesCanBeReachedDirectly", func(t *testing.T) {
		place := w.standIn(t, settings, "echo.corp.example") + ":8479"
		c := w.client(t, place)
		c.mustDo(t, "write hello", "ok")
		c.mustDo(t, "line", "hello")
		c.mustDo(t, "close", "ok")
		if got := s.awaitClosed(t, "echo.corp.example:7", 2); got.Cause != "app_gone" {
			t.Errorf("logged: %s", got.line)
		}
	})

	t.Run("CheckWalksTheSameWay", func(t *testing.T) {
		got := w.mustRun(t, w.app, command{env: sidecarEnvironment(settings)}, filepath.Join(w.programs, "hyco-sidecar"), "check",
			"orders.corp.example:8080", beyond4+":80", siteAddress+":443", "[FD00:1::0:5]:80")
		for _, want := range []string{"apps look no address up", "rules lead connections to " + beyond4 + ":80 to 127.0.0.", "4 of 4 endpoints healthy"} {
			if !strings.Contains(got, want) {
				t.Errorf("check does not say %q:\n%s", want, got)
			}
		}
	})

	t.Run("AKilledOneLeavesNothingBehind", func(t *testing.T) {
		c := w.client(t, "echo.corp.example:7")
		c.mustDo(t, "write hello", "ok")
		c.mustDo(t, "line", "hello")
		c.begin(t, "readall")
		s.end(syscall.SIGKILL)
		if got := c.answer(t, patience); !strings.HasPrefix(got, "ECONNRESET ") {
			t.Errorf("the app saw %q, want ECONNRESET", got)
		}
		if r := w.run(t, w.app, command{}, "curl", "-sS", "http://"+beyond4+"/"); r.code != 7 { // "Failed to connect"
			t.Errorf("curl without a sidecar: exit code %d, want 7: %s%s", r.code, r.stdout, r.stderr)
		}
		w.wantTables(t, "killed", ourTable)
		s = w.sidecar(t, settings...)
		w.wantTables(t, "started again", ourTable)
		if got, want := w.curl(t, "http://"+beyond4+"/"), "the orders of contoso\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("OneSidecarIsEnough", func(t *testing.T) {
		r := w.run(t, w.app, command{env: sidecarEnvironment(append(settings,
			"HYCO_CAPTURE_PORT=9479", "HYCO_DNS_LISTEN=127.0.0.1:5353", "HYCO_ADMIN_LISTEN=off"))}, filepath.Join(w.programs, "hyco-sidecar"))
		if r.code != 1 || !strings.Contains(r.stderr, "another hyco-sidecar captures connections") || !strings.Contains(r.stderr, "#capture_taken") {
			t.Errorf("a second sidecar: exit code %d: %s", r.code, r.stderr)
		}
		w.curl(t, "http://"+beyond4+"/")
	})

	own.end(syscall.SIGTERM)
	if code := s.stop(t, patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	w.wantTables(t, "stopped")
}

// TestAppsThatCloseFullyLeaveNoCapturedTunnels: where an app has connected to is not
// where its connection arrives, and still the kernel's answer is about it.
func TestAppsThatCloseFullyLeaveNoCapturedTunnels(t *testing.T) {
	t.Parallel()
	needs(t)
	closeFully(t, redirect)
}

// unprivileged runs a program as the image does, without any capability.
var unprivileged = []string{"setpriv", "--no-new-privs", "--reuid", "65532", "--regid", "65532", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"}

// TestCaptureWithoutTheRight leaves the rules to somebody who has it.
func TestCaptureWithoutTheRight(t *testing.T) {
	t.Parallel()
	needs(t, "curl", "nft", "setpriv", "sysctl")
	w := newWorld(t)
	w.routed(t)
	w.mustRun(t, w.app, command{}, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.relay(t, contoso, "orders-hc=orders.corp.example:80@127.0.0.2:18080", "ten-hc="+beyond4+":80@127.0.0.2:18080")
	settings := append(w.settings(t, relay.connections, relay.caFile), redirect, "HYCO_WARM_CONNECTIONS=0")
	program := filepath.Join(w.programs, "hyco-sidecar")
	capture := func(settings []string, what string) result {
		t.Helper()
		return w.run(t, w.app, command{env: sidecarEnvironment(settings)}, program, "capture", what)
	}
	refused := func(when string) {
		t.Helper()
		r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, append(unprivileged, program)...)
		if r.code != 1 || strings.Count(r.stderr, "NET_ADMIN") == 0 || !strings.Contains(r.stderr, "#capture_not_permitted") {
			t.Errorf("%s: exit code %d: %s", when, r.code, r.stderr)
		}
		if lines := strings.Count(strings.TrimSpace(r.stderr), "\n"); lines != 0 {
			t.Errorf("%s: %d lines, want one error:\n%s", when, lines+1, r.stderr)
		}
	}

	refused("no rules")
	w.wantTables(t, "refused")
	if r := capture(append(settings[:len(settings):len(settings)], "HYCO_CAPTURE_PORT=9999"), "install"); r.code != 0 {
		t.Fatalf("install: %s", r.stderr)
	}
	refused("rules of other settings")
	if r := capture(settings, "install"); r.code != 0 || !strings.Contains(r.stdout, beyond4+":80") {
		t.Fatalf("install: %s%s", r.stdout, r.stderr)
	}
	w.wantTables(t, "installed", ourTable)

	s := &sidecar{w.start(t, w.app, "hyco-sidecar", sidecarEnvironment(settings), append(unprivileged, program)...)}
	s.awaitReady(t)
	for _, host := range []string{"orders.corp.example", beyond4} {
		if got, want := w.curl(t, "http://"+host+"/"), "the orders of contoso\n"; got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}

	ready := func() string {
		return w.run(t, w.app, command{}, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8477/readyz").stdout
	}
	if got := ready(); got != fmt.Sprint(http.StatusOK) {
		t.Errorf("readyz: %s", got)
	}
	if r := capture(nil, "remove"); r.code != 0 {
		t.Fatalf("remove: %s", r.stderr)
	}
	w.wantTables(t, "removed")
	s.await(t, &s.stderr, patience, "an error about the rules", func(text string) bool {
		return strings.Contains(text, "connections are not captured any more") && strings.Contains(text, "#capture_missing")
	})
	if got := ready(); got != fmt.Sprint(http.StatusServiceUnavailable) {
		t.Errorf("readyz without the rules: %s", got)
	}
	r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, append(unprivileged, program, "check", "--probe", "none", beyond4+":80")...)
	if r.code != 31 || !strings.Contains(r.stdout, "capture_missing") {
		t.Errorf("check: exit code %d\n%s", r.code, r.stdout)
	}
	if r := capture(settings, "install"); r.code != 0 {
		t.Fatalf("install: %s", r.stderr)
	}
	s.await(t, &s.stderr, patience, "a line that the rules are back", func(text string) bool {
		return strings.Contains(text, "connections are captured again")
	})
	w.curl(t, "http://"+beyond4+"/")
	if code := s.stop(t, patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	w.wantTables(t, "stopped without having installed", ourTable)
}

// TestCaptureIsPutBack: whoever loads a firewall anew throws every table away first.
func TestCaptureIsPutBack(t *testing.T) {
	t.Parallel()
	needs(t, "curl", "nft")
	w := newWorld(t)
	w.routed(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	relay := w.relay(t, contoso, "ten-hc="+beyond4+":80@127.0.0.2:18080", "echo-hc=echo.corp.example:7@127.0.0.2:10007")
	s := w.sidecar(t, append(w.settings(t, relay.connections, relay.caFile), redirect)...)
	w.mustRun(t, w.app, command{}, "nft", "flush", "ruleset")
	w.wantTables(t, "flushed")
	s.await(t, &s.stderr, patience, "a warning about the rules", func(text string) bool {
		return strings.Contains(text, "were gone, and are in place again")
	})
	w.wantTables(t, "put back", ourTable)
	if got, want := w.curl(t, "http://"+beyond4+"/"), "the orders of contoso\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if code := s.stop(t, patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	w.wantTables(t, "stopped")
}

// TestCaptureOutlivesTheKernelsMemory: of a connection that one side has ended, the
// kernel forgets within a minute of silence where it leads. Here it does sooner, and
// the answer comes later.
func TestCaptureOutlivesTheKernelsMemory(t *testing.T) {
	t.Parallel()
	needs(t, "nc.openbsd", "sysctl")
	const size = 1 << 20
	w := newWorld(t)
	w.serve(t, w.site, "late", "127.0.0.2:10080", fmt.Sprint(size), "30s")
	relay := w.relay(t, contoso, "late-hc=late.corp.example:80@127.0.0.2:10080")
	w.sidecar(t, append(w.settings(t, relay.connections, relay.caFile), redirect)...)
	for _, state := range []string{"close_wait", "fin_wait", "last_ack"} {
		w.mustRun(t, w.app, command{}, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_"+state+"=20")
	}
	got := w.mustRun(t, w.app, command{stdin: strings.NewReader("GET / HTTP/1.0\r\n\r\n")}, "nc.openbsd", "-N", "late.corp.example", "80")
	if body, ok := strings.CutPrefix(got, "HTTP/1.0 200 OK\r\n\r\n"); !ok || sum([]byte(body)) != patternSum(0, size) {
		t.Errorf("got %d bytes, want all %d", len(got), size)
	}
}

// TestCaptureEndsWithWhatWasSent: an app that has yet to read the end of its answer
// gets it after the sidecar has stopped, as it does from a port that was bound.
func TestCaptureEndsWithWhatWasSent(t *testing.T) {
	t.Parallel()
	needs(t, "nft")
	const size = 300_000 // more than the app's kernel takes, less than what ours keeps
	w := newWorld(t)
	w.serve(t, w.site, "late", "127.0.0.2:10080", fmt.Sprint(size), "1ms")
	relay := w.relay(t, contoso, "late-hc=late.corp.example:80@127.0.0.2:10080")
	s := w.sidecar(t, append(w.settings(t, relay.connections, relay.caFile), redirect)...)
	c := w.client(t, "late.corp.example:80")
	for _, step := range []string{"write GET / HTTP/1.0", "write ", "closewrite"} {
		c.mustDo(t, step, "ok")
	}
	if got := s.awaitClosed(t, "late.corp.example:80", 1); got.Cause != "closed" {
		t.Errorf("logged: %s", got.line)
	}
	if code := s.stop(t, patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if got, want := c.do(t, "readall"), fmt.Sprintf("EOF %d ", size+len("HTTP/1.0 200 OK\r\n\r\n")); !strings.HasPrefix(got, want) {
		t.Errorf("the app saw %q, want %q", got, want)
	}
	w.wantTables(t, "stopped while an app did not read", ourTable)
	if got := w.mustRun(t, w.app, command{}, "nft", "list", "table", "inet", "hyco_sidecar"); strings.Contains(got, "elements") {
		t.Errorf("it still captures:\n%s", got)
	}
}

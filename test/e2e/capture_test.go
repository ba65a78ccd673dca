//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

const redirect = "HYCO_CAPTURE=redirect"

// beyond are addresses that the private network's endpoints are known by. Nobody
// has them; app has a route there, as containers have.
const (
	beyond4 = "10.1.2.3"
	beyond6 = "fd00:1::5"
)

// routed gives app a route to addresses beyond site.
func routed(t testing.TB, w *world.World) {
	t.Helper()
	w.IP(t, w.App,
		"address add fd00:213::1/64 dev eth0 nodad",
		"route add default via "+world.SiteAddress,
		"route add ::/0 via fd00:213::2 dev eth0")
}

// tables are nftables' in app.
func tables(t testing.TB, w *world.World) []string {
	t.Helper()
	var list struct {
		Nftables []struct {
			Table *struct{ Family, Name string }
		}
	}
	if err := json.Unmarshal([]byte(w.MustRun(t, w.App, world.Command{}, "nft", "-j", "list", "tables")), &list); err != nil {
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

func wantTables(t testing.TB, w *world.World, when string, want ...string) {
	t.Helper()
	if got := tables(t, w); !slices.Equal(got, want) {
		t.Errorf("%s: tables %q, want %q", when, got, want)
	}
}

const ourTable = "inet hyco_sidecar"

// TestCapture has the kernel lead connections to the sidecar: no port of an endpoint
// is bound, and addresses are endpoints.
func TestCapture(t *testing.T) {
	world.Needs(t, "curl", "nft", postgresPrograms+"initdb", "psql", "setpriv")
	w := world.New(t)
	routed(t, w)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "http", "127.0.0.2:18081", "the stock of contoso")
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	startPostgres(t, w)
	own := w.Serve(t, w.App, "http", "0.0.0.0:8080", "the app itself")
	relay := w.Relay(t, world.Contoso,
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"stock-hc=orders.corp.example:80@127.0.0.2:18081",
		"ten-hc="+beyond4+":80@127.0.0.2:18080",
		"sql-hc="+beyond4+":5432@127.0.0.4:15432",
		"six-hc=["+beyond6+"]:80@127.0.0.2:18080",
		"seven-hc=["+beyond6+"]:7@127.0.0.2:10007",
		"echo-hc=echo.corp.example:7@127.0.0.2:10007",
		// The relay's own address and port are an endpoint as well.
		"here-hc="+world.SiteAddress+":443@127.0.0.2:18081")
	settings := append(w.Settings(t, relay.Connections, relay.CAFile), redirect)
	s := w.Sidecar(t, settings...)
	wantTables(t, w, "serving", ourTable)

	t.Run("PortsAreTheApps", func(t *testing.T) {
		w.Serve(t, w.App, "http", "0.0.0.0:5432", "an app that starts later")
		for url, want := range map[string]string{
			"http://orders.corp.example:8080/":      "the orders of contoso\n",
			"http://127.0.0.1:8080/":                "the app itself\n",
			"http://" + world.AppAddress + ":8080/": "the app itself\n",
			"http://127.0.0.1:5432/":                "an app that starts later\n",
			"http://orders.corp.example/":           "the stock of contoso\n",
		} {
			if got := w.Curl(t, url); got != want {
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
			if got := w.Curl(t, url); got != want {
				t.Errorf("%s: got %q, want %q", url, got, want)
			}
		}
		got := w.MustRun(t, w.App, world.Command{}, "psql", "-h", beyond4, "-U", "postgres", "-X", "-qAt", "-c", "show server_version", "postgres")
		if !strings.HasPrefix(got, "15.") {
			t.Errorf("psql: got %q, want 15", got)
		}
		if r := w.Run(t, w.App, world.Command{}, "curl", "-sS", "--max-time", "1", "http://"+beyond4+":81/"); r.Code == 0 {
			t.Error("a port that is no endpoint's was captured")
		}
	})

	t.Run("OurOwnConnectionsAreNot", func(t *testing.T) {
		if got, want := w.Curl(t, "http://"+world.SiteAddress+":443/"), "the stock of contoso\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		s.AwaitClosed(t, world.SiteAddress+":443", 1)
		if n := len(s.Closed(world.SiteAddress + ":443")); n != 1 {
			t.Errorf("%d connections to the relay's address came to the sidecar, want the one of curl", n)
		}
	})

	// The kernel holds connections apart by their two ends. Had all endpoints one
	// end at the sidecar, it would have to change the app's port here.
	t.Run("AppsKeepTheirPorts", func(t *testing.T) {
		endpoints := []string{"orders.corp.example:80", beyond4 + ":80", "orders.corp.example:8080"}
		var apps []*world.Client
		for _, endpoint := range endpoints {
			c := w.StartClient(t)
			c.MustDo(t, "from 20202", "ok")
			c.MustDo(t, "dial "+endpoint, "ok")
			c.MustDo(t, "write GET / HTTP/1.0", "ok")
			apps = append(apps, c)
		}
		for i, c := range apps {
			c.MustDo(t, "write ", "ok")
			c.MustDo(t, "line", "HTTP/1.0 200 OK")
			c.MustDo(t, "reset", "ok")
			world.Eventually(t, world.Patience, "a line about port 20202 to "+endpoints[i], func() bool {
				return slices.ContainsFunc(s.Closed(endpoints[i]), func(e world.Entry) bool { return strings.HasSuffix(e.Client, ":20202") })
			})
		}
	})

	t.Run("AppsThatLeaveAreNoticed", func(t *testing.T) {
		for _, endpoint := range []string{"echo.corp.example:7", "[" + beyond6 + "]:7"} {
			c := w.Client(t, endpoint)
			c.MustDo(t, "write hello", "ok")
			c.MustDo(t, "line", "hello")
			c.MustDo(t, "close", "ok")
			if got := s.AwaitClosed(t, endpoint, 1); got.Cause != "app_gone" {
				t.Errorf("logged: %s", got.Line)
			}
		}
	})

	// A place leads to its endpoint by itself, and who half-closes is not taken for gone.
	t.Run("PlacesCanBeReachedDirectly", func(t *testing.T) {
		place := w.StandIn(t, settings, "echo.corp.example") + ":8479"
		c := w.Client(t, place)
		c.MustDo(t, "write hello", "ok")
		c.MustDo(t, "line", "hello")
		c.MustDo(t, "close", "ok")
		if got := s.AwaitClosed(t, "echo.corp.example:7", 2); got.Cause != "app_gone" {
			t.Errorf("logged: %s", got.Line)
		}
	})

	t.Run("CheckWalksTheSameWay", func(t *testing.T) {
		got := w.MustHyco(t, settings, "check",
			"orders.corp.example:8080", beyond4+":80", world.SiteAddress+":443", "[FD00:1::0:5]:80")
		for _, want := range []string{"apps look no address up", "rules lead connections to " + beyond4 + ":80 to 127.0.0.", "4 of 4 endpoints healthy"} {
			if !strings.Contains(got, want) {
				t.Errorf("check does not say %q:\n%s", want, got)
			}
		}
	})

	t.Run("AKilledOneLeavesNothingBehind", func(t *testing.T) {
		c := w.Client(t, "echo.corp.example:7")
		c.MustDo(t, "write hello", "ok")
		c.MustDo(t, "line", "hello")
		c.Begin(t, "readall")
		s.End(syscall.SIGKILL)
		if got := c.Answer(t, world.Patience); !strings.HasPrefix(got, "ECONNRESET ") {
			t.Errorf("the app saw %q, want ECONNRESET", got)
		}
		if r := w.Run(t, w.App, world.Command{}, "curl", "-sS", "http://"+beyond4+"/"); r.Code != 7 { // "Failed to connect"
			t.Errorf("curl without a sidecar: exit code %d, want 7: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		wantTables(t, w, "killed", ourTable)
		s = w.Sidecar(t, settings...)
		wantTables(t, w, "started again", ourTable)
		if got, want := w.Curl(t, "http://"+beyond4+"/"), "the orders of contoso\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("OneSidecarIsEnough", func(t *testing.T) {
		r := w.Hyco(t, append(settings,
			"HYCO_CAPTURE_PORT=9479", "HYCO_DNS_LISTEN=127.0.0.1:5353", "HYCO_ADMIN_LISTEN=off"))
		if r.Code != 1 || !strings.Contains(r.Stderr, "another hyco-sidecar captures connections") || !strings.Contains(r.Stderr, "#capture_taken") {
			t.Errorf("a second sidecar: exit code %d: %s", r.Code, r.Stderr)
		}
		w.Curl(t, "http://"+beyond4+"/")
	})

	own.End(syscall.SIGTERM)
	if code := s.Stop(t, world.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantTables(t, w, "stopped")
}

// TestAppsThatCloseFullyLeaveNoCapturedTunnels: where an app has connected to is not
// where its connection arrives, and still the kernel's answer is about it.
func TestAppsThatCloseFullyLeaveNoCapturedTunnels(t *testing.T) {
	t.Parallel()
	world.Needs(t)
	closeFully(t, redirect)
}

// unprivileged runs a program as the image does, without any capability.
var unprivileged = []string{"setpriv", "--no-new-privs", "--reuid", "65532", "--regid", "65532", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"}

// TestCaptureWithoutTheRight leaves the rules to somebody who has it.
func TestCaptureWithoutTheRight(t *testing.T) {
	t.Parallel()
	world.Needs(t, "curl", "nft", "setpriv", "sysctl")
	w := world.New(t)
	routed(t, w)
	w.MustRun(t, w.App, world.Command{}, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:80@127.0.0.2:18080", "ten-hc="+beyond4+":80@127.0.0.2:18080")
	settings := append(w.Settings(t, relay.Connections, relay.CAFile), redirect, "HYCO_WARM_CONNECTIONS=0")
	program := w.Program("hyco-sidecar")
	capture := func(settings []string, what string) world.Result {
		t.Helper()
		return w.Hyco(t, settings, "capture", what)
	}
	refused := func(when string) {
		t.Helper()
		r := w.Run(t, w.App, world.Command{Env: world.SidecarEnvironment(settings)}, append(unprivileged, program)...)
		if r.Code != 1 || strings.Count(r.Stderr, "NET_ADMIN") == 0 || !strings.Contains(r.Stderr, "#capture_not_permitted") {
			t.Errorf("%s: exit code %d: %s", when, r.Code, r.Stderr)
		}
		if lines := strings.Count(strings.TrimSpace(r.Stderr), "\n"); lines != 0 {
			t.Errorf("%s: %d lines, want one error:\n%s", when, lines+1, r.Stderr)
		}
	}

	refused("no rules")
	wantTables(t, w, "refused")
	if r := capture(append(settings[:len(settings):len(settings)], "HYCO_CAPTURE_PORT=9999"), "install"); r.Code != 0 {
		t.Fatalf("install: %s", r.Stderr)
	}
	refused("rules of other settings")
	if r := capture(settings, "install"); r.Code != 0 || !strings.Contains(r.Stdout, beyond4+":80") {
		t.Fatalf("install: %s%s", r.Stdout, r.Stderr)
	}
	wantTables(t, w, "installed", ourTable)

	s := w.SidecarBy(t, settings, unprivileged...)
	for _, host := range []string{"orders.corp.example", beyond4} {
		if got, want := w.Curl(t, "http://"+host+"/"), "the orders of contoso\n"; got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}

	ready := func() string {
		return w.Run(t, w.App, world.Command{}, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8477/readyz").Stdout
	}
	if got := ready(); got != fmt.Sprint(http.StatusOK) {
		t.Errorf("readyz: %s", got)
	}
	if r := capture(nil, "remove"); r.Code != 0 {
		t.Fatalf("remove: %s", r.Stderr)
	}
	wantTables(t, w, "removed")
	s.Await(t, &s.Stderr, world.Patience, "an error about the rules", func(text string) bool {
		return strings.Contains(text, "connections are not captured any more") && strings.Contains(text, "#capture_missing")
	})
	if got := ready(); got != fmt.Sprint(http.StatusServiceUnavailable) {
		t.Errorf("readyz without the rules: %s", got)
	}
	r := w.Run(t, w.App, world.Command{Env: world.SidecarEnvironment(settings)}, append(unprivileged, program, "check", "--probe", "none", beyond4+":80")...)
	if r.Code != 31 || !strings.Contains(r.Stdout, "capture_missing") {
		t.Errorf("check: exit code %d\n%s", r.Code, r.Stdout)
	}
	if r := capture(settings, "install"); r.Code != 0 {
		t.Fatalf("install: %s", r.Stderr)
	}
	s.Await(t, &s.Stderr, world.Patience, "a line that the rules are back", func(text string) bool {
		return strings.Contains(text, "connections are captured again")
	})
	w.Curl(t, "http://"+beyond4+"/")
	if code := s.Stop(t, world.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantTables(t, w, "stopped without having installed", ourTable)
}

// TestCaptureIsPutBack: whoever loads a firewall anew throws every table away first.
func TestCaptureIsPutBack(t *testing.T) {
	t.Parallel()
	world.Needs(t, "curl", "nft")
	w := world.New(t)
	routed(t, w)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	relay := w.Relay(t, world.Contoso, "ten-hc="+beyond4+":80@127.0.0.2:18080", "echo-hc=echo.corp.example:7@127.0.0.2:10007")
	s := w.Sidecar(t, append(w.Settings(t, relay.Connections, relay.CAFile), redirect)...)
	w.MustRun(t, w.App, world.Command{}, "nft", "flush", "ruleset")
	wantTables(t, w, "flushed")
	s.Await(t, &s.Stderr, world.Patience, "a warning about the rules", func(text string) bool {
		return strings.Contains(text, "were missing and have been restored")
	})
	wantTables(t, w, "put back", ourTable)
	if got, want := w.Curl(t, "http://"+beyond4+"/"), "the orders of contoso\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if code := s.Stop(t, world.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantTables(t, w, "stopped")
}

// TestCaptureOutlivesTheKernelsMemory: of a connection that one side has ended, the
// kernel forgets within a minute of silence where it leads. Here it does sooner, and
// the answer comes later.
func TestCaptureOutlivesTheKernelsMemory(t *testing.T) {
	t.Parallel()
	world.Needs(t, "nc.openbsd", "sysctl")
	const size = 1 << 20
	w := world.New(t)
	w.Serve(t, w.Site, "late", "127.0.0.2:10080", fmt.Sprint(size), "30s")
	relay := w.Relay(t, world.Contoso, "late-hc=late.corp.example:80@127.0.0.2:10080")
	w.Sidecar(t, append(w.Settings(t, relay.Connections, relay.CAFile), redirect)...)
	for _, state := range []string{"close_wait", "fin_wait", "last_ack"} {
		w.MustRun(t, w.App, world.Command{}, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_"+state+"=20")
	}
	got := w.MustRun(t, w.App, world.Command{Stdin: strings.NewReader("GET / HTTP/1.0\r\n\r\n")}, "nc.openbsd", "-N", "late.corp.example", "80")
	if body, ok := strings.CutPrefix(got, "HTTP/1.0 200 OK\r\n\r\n"); !ok || role.Sum([]byte(body)) != role.PatternSum(0, size) {
		t.Errorf("got %d bytes, want all %d", len(got), size)
	}
}

// TestCaptureEndsWithWhatWasSent: an app that has yet to read the end of its answer
// gets it after the sidecar has stopped, as it does from a port that was bound.
func TestCaptureEndsWithWhatWasSent(t *testing.T) {
	t.Parallel()
	world.Needs(t, "nft")
	const size = 300_000 // more than the app's kernel takes, less than what ours keeps
	w := world.New(t)
	w.Serve(t, w.Site, "late", "127.0.0.2:10080", fmt.Sprint(size), "1ms")
	relay := w.Relay(t, world.Contoso, "late-hc=late.corp.example:80@127.0.0.2:10080")
	s := w.Sidecar(t, append(w.Settings(t, relay.Connections, relay.CAFile), redirect)...)
	c := w.Client(t, "late.corp.example:80")
	for _, step := range []string{"write GET / HTTP/1.0", "write ", "closewrite"} {
		c.MustDo(t, step, "ok")
	}
	if got := s.AwaitClosed(t, "late.corp.example:80", 1); got.Cause != "closed" {
		t.Errorf("logged: %s", got.Line)
	}
	if code := s.Stop(t, world.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if got, want := c.Do(t, "readall"), fmt.Sprintf("EOF %d ", size+len("HTTP/1.0 200 OK\r\n\r\n")); !strings.HasPrefix(got, want) {
		t.Errorf("the app saw %q, want %q", got, want)
	}
	wantTables(t, w, "stopped while an app did not read", ourTable)
	if got := w.MustRun(t, w.App, world.Command{}, "nft", "list", "table", "inet", "hyco_sidecar"); strings.Contains(got, "elements") {
		t.Errorf("it still captures:\n%s", got)
	}
}

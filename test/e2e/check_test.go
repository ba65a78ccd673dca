//go:build linux

package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/test/e2e/world"
	"hyco-sidecar/test/fakerelay"
)

// checkWorld has one endpoint for everything that can be wrong about a hybrid
// connection or its target, and some that are right.
type checkWorld struct {
	*world.World
	settings []string
	caFile   string // of the first relay alone
	keys     []string
}

func newCheckWorld(t *testing.T) *checkWorld {
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "silent", "127.0.0.2:18081")
	w.Serve(t, w.Site, "half-close", "127.0.0.2:18082", "220 mail.corp.example ready\r\n")
	targetCA := filepath.Join(w.Dir, "target.pem")
	w.Serve(t, w.Site, "garbage-tls", "127.0.0.2:18083", targetCA)
	w.Serve(t, w.Site, "garbage", world.SiteAddress+":8001")
	startPostgres(t, w)
	relay := w.Relay(t, world.Contoso,
		"orders-hc=orders.corp.example:80@127.0.0.2:18080",
		"silent-hc=silent.corp.example:8080@127.0.0.2:18081",
		"mail-hc=mail.corp.example:25@127.0.0.2:18082",
		"tls-hc=example.com:443@127.0.0.2:18083", // the certificate's name
		"shop-hc=shop.corp.example:443@127.0.0.2:18083",
		"sql-hc=sql01.corp.example:5432@127.0.0.4:15432",
		"refused-hc=refused.corp.example:80@127.0.0.2:10079",
		"nobody-hc")
	never := w.Relay(t, world.Fabrikam, "-personality", "never-rendezvous", "-accept-timeout", "2s",
		"never-hc=never.corp.example:80@127.0.0.2:18080")
	reject := w.Relay(t, world.Northwind, "-personality", "reject",
		"reject-hc=reject.corp.example:80@127.0.0.2:18080")
	early := w.Relay(t, []string{"-listen", world.SiteAddress + ":8445", "-host", "contoso.servicebus.example", "-clock-offset", "1h"}, "clock-hc")

	good := relay.Connections[0].Sender
	const wrongKey = "bm90IHRoZSBrZXkgb2YgY29udG9zbywgbm9yIG9mIGFueWJvZHk="
	endpoint := func(name, sender string) world.Connection { return world.Connection{Endpoint: name, Sender: sender} }
	signed := func(name, entity string, until time.Duration) world.Connection {
		token := fakerelay.SAS("http://contoso.servicebus.example/"+entity+"/",
			fakerelay.Rule{Name: world.Field(good, "SharedAccessKeyName"), Key: world.Field(good, "SharedAccessKey")}, time.Now().Add(until))
		return endpoint(name, "Endpoint=sb://contoso.servicebus.example:443/;EntityPath=orders-hc;SharedAccessSignature="+token)
	}
	connections := append(relay.Connections[:7:7],
		never.Connections[0],
		reject.Connections[0],
		relay.Entity(t, "nobody-hc", "nobody.corp.example:80"),
		early.Entity(t, "clock-hc", "clock.corp.example:80"),
		endpoint("wrongkey.corp.example:80", world.WithField(good, "SharedAccessKey", wrongKey)),
		signed("expired.corp.example:80", "orders-hc", -time.Minute),
		signed("audience.corp.example:80", "stock-hc", time.Hour),
		endpoint("missing.corp.example:80", world.WithField(good, "EntityPath", "missing-hc")),
		endpoint("unknown.corp.example:80", world.WithField(good, "Endpoint", "sb://nobody.servicebus.example/")),
		endpoint("dead.corp.example:80", world.WithField(good, "Endpoint", "sb://contoso.servicebus.example:8004/")),
		endpoint("garbage.corp.example:80", world.WithField(good, "Endpoint", "sb://contoso.servicebus.example:8001/")),
	)
	return &checkWorld{
		World:    w,
		settings: w.Settings(t, connections, relay.CAFile, never.CAFile, reject.CAFile, early.CAFile, targetCA),
		caFile:   relay.CAFile,
		keys:     []string{world.Field(good, "SharedAccessKey"), wrongKey},
	}
}

// TestCheckTellsWhatIsWrong provokes each verdict, beside a running sidecar.
func TestCheckTellsWhatIsWrong(t *testing.T) {
	world.Needs(t, "unshare", "mount", postgresPrograms+"initdb", postgresPrograms+"postgres", "setpriv")
	w := newCheckWorld(t)
	w.Sidecar(t, w.settings...)

	with := func(more ...string) []string { return append(w.settings[:len(w.settings):len(w.settings)], more...) }
	another := with("HYCO_CONNECTION_18_ENDPOINT=orders.corp.example:81",
		"HYCO_CONNECTION_18_CONNECTION_STRING="+strings.TrimPrefix(w.settings[2], "HYCO_CONNECTION_0_CONNECTION_STRING="))
	cases := []struct {
		name       string
		settings   []string // empty = the sidecar's own
		nameserver string   // empty = ours
		args       []string
		verdict    check.Verdict
		code       int
		stage      check.Stage // that fails
		says       string      // in the human output
	}{
		{name: "name not configured", args: []string{"order.corp.example:80"}, verdict: "name_not_configured", code: 2, stage: check.Configuration, says: "orders.corp.example:80"},
		{name: "DNS does not reach us", nameserver: world.SiteResolver, args: []string{"orders.corp.example:80"}, verdict: "dns_not_reaching", code: 20, stage: check.Resolver, says: world.SiteResolver + ":53 answers, and is not this sidecar"},
		{name: "no resolver at all", nameserver: "127.0.0.9", args: []string{"nobody.corp.example:80"}, verdict: "dns_not_reaching", code: 20, stage: check.Resolver, says: "no answer from 127.0.0.9:53"},
		{name: "another address", settings: with("HYCO_CONNECTION_0_ADDRESS=127.77.7.7"), args: []string{"orders.corp.example:80"}, verdict: "dns_wrong_address", code: 21, stage: check.Resolver, says: "127.77.7.7"},
		{name: "listener not bound", settings: another, args: []string{"orders.corp.example:81"}, verdict: "listener_not_bound", code: 30, stage: check.Socket, says: "nobody accepts at"},
		{name: "relay name does not resolve", args: []string{"unknown.corp.example:80"}, verdict: "relay_name_unknown", code: 40, stage: check.RelayName, says: "no such host"},
		{name: "relay port closed", args: []string{"dead.corp.example:80"}, verdict: "relay_unreachable", code: 50, stage: check.RelayPort, says: "allow TCP to contoso.servicebus.example:8004"},
		{name: "proxy gone", settings: with("HTTPS_PROXY=http://user:hush@127.0.0.1:3128"), args: []string{"orders.corp.example:80"}, verdict: "proxy_unreachable", code: 52, stage: check.RelayPort, says: "allow TCP to 127.0.0.1:3128"},
		{name: "TLS not trusted", settings: with("HYCO_CA_FILE=" + w.caFile), args: []string{"reject.corp.example:80"}, verdict: "tls_untrusted", code: 60, stage: check.RelayTLS, says: "HYCO_CA_FILE"},
		{name: "no TLS", args: []string{"garbage.corp.example:80"}, verdict: "tls_failed", code: 61, stage: check.RelayTLS, says: "intercepts TLS"},
		{name: "bad key", args: []string{"wrongkey.corp.example:80"}, verdict: "unauthorized", code: 70, stage: check.Token, says: "SharedAccessKey"},
		{name: "expired token", args: []string{"expired.corp.example:80"}, verdict: "token_expired", code: 71, stage: check.Token, says: "make a new SharedAccessSignature"},
		{name: "clock wrong by an hour", args: []string{"clock.corp.example:80"}, verdict: "clock_wrong", code: 72, stage: check.Token, says: "behind the relay's"},
		{name: "token of another", args: []string{"audience.corp.example:80"}, verdict: "wrong_audience", code: 73, stage: check.Token, says: `"orders-hc"`},
		{name: "wrong entity", args: []string{"missing.corp.example:80"}, verdict: "unknown_entity", code: 80, stage: check.Listener, says: "EntityPath \"missing-hc\""},
		{name: "no listener", args: []string{"nobody.corp.example:80"}, verdict: "no_listener", code: 81, stage: check.Listener, says: `start a Hybrid Connection Manager for "nobody-hc"`},
		{name: "listener rejects", args: []string{"reject.corp.example:80"}, verdict: "listener_rejected", code: 82, stage: check.Listener, says: "Rejected by user code"},
		{name: "listener never comes", args: []string{"never.corp.example:80"}, verdict: "not_accepted", code: 83, stage: check.Listener, says: "restart the Hybrid Connection Manager"},
		{name: "HCM reaches no target", args: []string{"refused.corp.example:80"}, verdict: "target_unreachable", code: 90, stage: check.Target, says: "probably cannot reach refused.corp.example:80"},
		{name: "target silent", args: []string{"--timeout", "5s", "silent.corp.example:8080"}, verdict: "target_silent", code: 91, stage: check.Target, says: "without a byte in answer to an HTTP request"},
		{name: "no TLS at the target", args: []string{"--tls", "orders.corp.example:80"}, verdict: "target_tls_failed", code: 92, stage: check.Target, says: "TLS"},
		{name: "another name's certificate", args: []string{"--tls", "shop.corp.example:443"}, verdict: "target_tls_failed", code: 92, stage: check.Target, says: "shop.corp.example"},

		{name: "HTTP", args: []string{"Orders.Corp.Example.:80"}, verdict: "healthy", says: `answers "HTTP/1.1 200 OK"`},
		{name: "banner", args: []string{"mail.corp.example:25"}, verdict: "healthy", says: `says "220 mail.corp.example ready"`},
		{name: "PostgreSQL", args: []string{"sql01.corp.example:5432"}, verdict: "healthy", says: "PostgreSQL answers, without TLS"},
		{name: "TLS", args: []string{"--tls", "example.com:443"}, verdict: "healthy", says: "TLS 1.3, certificate for example.com and 1 more, until "},
		{name: "TLS with another name's certificate", args: []string{"shop.corp.example:443"}, verdict: "healthy", says: "does not trust the certificate"},
		{name: "up to the listener", args: []string{"--probe=none", "silent.corp.example:8080"}, verdict: "healthy", says: "not asked for"},
	}
	began := time.Now()
	var outputs []string
	run := func(i int, args ...string) *world.Process {
		settings, nameserver := cases[i].settings, cases[i].nameserver
		if settings == nil {
			settings = w.settings
		}
		return w.StartCheck(t, settings, cmp.Or(nameserver, world.OurResolver), append(args, cases[i].args...)...)
	}
	// A few at once: they wait more than they compute.
	var started [][2]*world.Process
	for i, c := range cases {
		for n := len(started); n < min(i+4, len(cases)); n++ {
			started = append(started, [2]*world.Process{run(n), run(n, "--json")})
		}
		human, machine := started[i][0], started[i][1]
		t.Run(c.name, func(t *testing.T) {
			if code := human.Wait(t, world.Patience); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, human.Stderr.String())
			}
			text := human.Stdout.String()
			if !strings.Contains(text, c.says) || !strings.Contains(text, string(c.verdict)) {
				t.Errorf("want %s and %q in\n%s", c.verdict, c.says, text)
			}
			if see := "see: docs/troubleshooting.md#" + string(c.verdict); (c.code != 0) != strings.Contains(text, see) {
				t.Errorf("%q: want it with a failure alone:\n%s", see, text)
			}
			if strings.Contains(text, "\x1b") || (human.Stderr.String() != "") != (c.code == 2) { // which usage follows
				t.Errorf("colour or progress without a terminal:\n%q\n%q", text, human.Stderr.String())
			}
			if code := machine.Wait(t, world.Patience); code != c.code {
				t.Errorf("--json: exit code %d, want %d", code, c.code)
			}
			var report check.Report
			if err := json.Unmarshal([]byte(machine.Stdout.String()), &report); err != nil || len(report.Endpoints) != 1 {
				t.Fatalf("--json: %v, %d endpoints\n%s", err, len(report.Endpoints), machine.Stdout.String())
			}
			e := report.Endpoints[0]
			if report.Verdict != c.verdict || report.ExitCode != c.code || e.Verdict != c.verdict || len(e.Stages) != len(check.Stages) {
				t.Errorf("--json: got %s (%d) and %d stages, want %s (%d)", report.Verdict, report.ExitCode, len(e.Stages), c.verdict, c.code)
			}
			for _, s := range e.Stages {
				if s.Verdict == c.verdict && s.Stage != c.stage {
					t.Errorf("--json: %s at stage %q, want %q", c.verdict, s.Stage, c.stage)
				}
			}
		})
		outputs = append(outputs, human.Stdout.String(), human.Stderr.String(), machine.Stdout.String(), machine.Stderr.String())
	}
	t.Logf("%d verdicts took %v", len(cases), time.Since(began))

	t.Run("EverythingAtOnce", func(t *testing.T) {
		p := w.StartCheck(t, w.settings, world.OurResolver, "--all", "--timeout", "8s")
		if code := p.Wait(t, world.Patience); code != 91 { // silent.corp.example comes second
			t.Errorf("exit code %d, want 91", code)
		}
		outputs = append(outputs, p.Stdout.String())
		if want := "\n5 of 18 endpoints healthy; exit code 91: target_silent\n"; !strings.HasSuffix(p.Stdout.String(), want) {
			t.Errorf("want %q at the end of\n%s", want, p.Stdout.String())
		}
	})
	t.Run("NoKeyIsShown", func(t *testing.T) {
		for _, text := range outputs {
			for _, key := range w.keys {
				for _, form := range []string{key, url.QueryEscape(key), key[8:24], "sig=", "hush"} {
					if strings.Contains(text, form) {
						t.Errorf("%q is shown in\n%s", form, text)
					}
				}
			}
		}
	})
	t.Run("InterruptEndsIt", func(t *testing.T) {
		p := w.StartCheck(t, w.settings, world.OurResolver, "--json", "silent.corp.example:8080")
		world.Eventually(t, world.Patience, "a connection to the relay", func() bool { return p.Established(t, world.SiteAddress+":443") > 0 })
		p.Signal(syscall.SIGINT)
		if code := p.Wait(t, 10*time.Second); code != 1 || !strings.Contains(p.Stdout.String(), `"verdict": "unfinished"`) {
			t.Errorf("exit code %d, want 1 and unfinished\n%s", code, p.Stdout.String())
		}
	})
}

// TestCheckNeedsNoSidecar runs where none does.
func TestCheckNeedsNoSidecar(t *testing.T) {
	world.Needs(t, "unshare", "mount")
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:80@127.0.0.2:18080", "nobody-hc")
	settings := w.Settings(t, append(relay.Connections[:1:1], relay.Entity(t, "nobody-hc", "nobody.corp.example:80")), relay.CAFile)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"orders.corp.example:80"}, 0, "skipped            no sidecar runs here"},
		{[]string{"nobody.corp.example:80"}, 81, "404 There are no listeners connected for the endpoint"},
		{nil, 81, "1 of 2 endpoints healthy; exit code 81: no_listener"},
	} {
		p := w.StartCheck(t, settings, world.SiteResolver, c.args...)
		if code := p.Wait(t, world.Patience); code != c.code || !strings.Contains(p.Stdout.String(), c.says) {
			t.Errorf("check %v: exit code %d, want %d and %q in\n%s%s", c.args, code, c.code, c.says, p.Stdout.String(), p.Stderr.String())
		}
	}

	t.Run("WhereResolvConfNamesIt", func(t *testing.T) {
		p := w.StartCheck(t, settings, world.OurResolver, "orders.corp.example:80")
		if code := p.Wait(t, world.Patience); code != 20 || !strings.Contains(p.Stdout.String(), "/etc/resolv.conf names 127.0.0.1, and nobody answers there") {
			t.Errorf("exit code %d, want 20 and that nobody answers\n%s%s", code, p.Stdout.String(), p.Stderr.String())
		}
	})
	t.Run("OnATerminal", func(t *testing.T) {
		world.Needs(t, "script")
		for variable, colour := range map[string]bool{"": true, "NO_COLOR=1": false} {
			typed := fmt.Sprintf("exec '%s' check orders.corp.example:80", w.Program("hyco-sidecar"))
			file := filepath.Join(w.Dir, "resolv.conf."+world.SiteResolver)
			got := w.MustRun(t, w.App, world.Command{Env: world.SidecarEnvironment(append(settings, variable))},
				"unshare", "-m", "sh", "-c", world.BindResolvConf, "sh", file, "script", "-qec", typed, "/dev/null")
			if strings.Contains(got, "\x1b[32mok") != colour || !strings.Contains(got, "orders.corp.example:80: waiting for the target … 0 s") {
				t.Errorf("%q: colour wanted: %t; progress wanted; got %q", variable, colour, got)
			}
		}
	})
	t.Run("InTheSidecarsOwnContainer", func(t *testing.T) {
		world.Needs(t, "nsenter")
		file := filepath.Join(w.Dir, "resolv.conf."+world.SiteResolver)
		program := w.Program("hyco-sidecar")
		sidecar := w.SidecarBy(t, settings, "unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", world.BindResolvConf, "sh", file)
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", sidecar.PID()))
		if err != nil {
			t.Fatal(err)
		}
		inside := strings.TrimSpace(string(children))
		p := w.Start(t, w.App, "check", world.SidecarEnvironment(settings), "nsenter", "-t", inside, "--mount", "--pid", program, "check", "orders.corp.example:80")
		if code := p.Wait(t, world.Patience); code != 0 || !strings.Contains(p.Stdout.String(), "the sidecar answers at 127.0.0.1:53") {
			t.Errorf("exit code %d, want 0\n%s%s", code, p.Stdout.String(), p.Stderr.String())
		}
		pid, err := strconv.Atoi(inside)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil { // unshare would not hand it on
			t.Fatal(err)
		}
		sidecar.Wait(t, world.Patience)
	})
}

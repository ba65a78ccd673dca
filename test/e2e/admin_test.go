//go:build linux

package e2e_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

func wantProbe(t testing.TB, w *world.World, path, want string) {
	t.Helper()
	if got := w.Probe(t, path); !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %q, want %q", path, got, want)
	}
}

// TestProbes: the relay's state is none of theirs, since nobody gets better by a
// restart of the app.
func TestProbes(t *testing.T) {
	world.Needs(t, "curl")
	w := world.New(t)
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	relay := w.Relay(t, world.Contoso, "echo-hc=echo.corp.example:7@127.0.0.2:10007", "nobody-hc")
	settings := append(w.Settings(t, append(relay.Connections[:1:1], relay.Entity(t, "nobody-hc", "nobody.corp.example:80")), relay.CAFile),
		"HYCO_CONNECT_TIMEOUT=1s", "HYCO_MAX_CONNECTIONS=2", "HYCO_DRAIN_TIMEOUT=60s")
	s := w.Sidecar(t, settings...)
	well := func(t *testing.T) {
		t.Helper()
		for _, path := range []string{"/livez", "/readyz", "/startupz"} {
			wantProbe(t, w, path, "200 ok")
		}
		wantProbe(t, w, "/readyz?verbose", "200 sockets: bound\ndraining: no\nconnections: below HYCO_MAX_CONNECTIONS\nok")
	}
	healthcheck := func(t *testing.T, want int) {
		t.Helper()
		r := w.Hyco(t, settings, "healthcheck")
		if r.Code != want {
			t.Errorf("healthcheck: exit code %d, want %d\n%s%s", r.Code, want, r.Stdout, r.Stderr)
		}
	}
	fail := func(t *testing.T, endpoint string) {
		t.Helper()
		if got := w.Attempt(t, endpoint).Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("%s: the app saw %q, want a reset", endpoint, got)
		}
	}

	t.Run("AreGoodFromTheStart", func(t *testing.T) { well(t); healthcheck(t, 0) })
	t.Run("AreGoodWhileDialsFail", func(t *testing.T) {
		for range 3 {
			fail(t, "nobody.corp.example:80")
		}
		well(t)
	})
	t.Run("AreGoodWithoutARelay", func(t *testing.T) {
		relay.End(syscall.SIGKILL)
		for range 3 {
			fail(t, "echo.corp.example:7")
		}
		well(t)
		healthcheck(t, 0)
		relay.Restart(t, w) // with other keys and another certificate
		s.Stop(t, world.Patience)
		settings = append(settings[:0:0], append(w.Settings(t, relay.Connections[:1], relay.CAFile), "HYCO_MAX_CONNECTIONS=2", "HYCO_DRAIN_TIMEOUT=60s")...)
		s = w.Sidecar(t, settings...)
	})
	open := func(t *testing.T) *world.Client {
		t.Helper()
		c := w.Client(t, "echo.corp.example:7")
		c.MustDo(t, "write before", "ok")
		c.MustDo(t, "line", "before")
		return c
	}
	t.Run("AreNotReadyAtTheLimit", func(t *testing.T) {
		one, two := open(t), open(t)
		wantProbe(t, w, "/readyz", "503 connections: ")
		wantProbe(t, w, "/livez", "200 ok")
		wantProbe(t, w, "/startupz", "200 ok")
		one.MustDo(t, "reset", "ok")
		world.Eventually(t, world.Patience, "ready again", func() bool { return w.Probe(t, "/readyz") == "200 ok" })
		two.MustDo(t, "reset", "ok")
	})
	t.Run("AreNotReadyWhileDraining", func(t *testing.T) {
		c := open(t)
		s.BeginDrain(t)
		world.Eventually(t, world.Patience, "not ready", func() bool { return strings.HasPrefix(w.Probe(t, "/readyz"), "503 draining: ") })
		wantProbe(t, w, "/livez", "200 ok")
		wantProbe(t, w, "/startupz", "200 ok")
		c.MustDo(t, "write during", "ok")
		c.MustDo(t, "line", "during")
		c.MustDo(t, "close", "ok")
		if code := s.Wait(t, world.Patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})
}

// TestAdminKeepsStrangersOut asks what must not be answered.
func TestAdminKeepsStrangersOut(t *testing.T) {
	world.Needs(t, "curl")
	w := world.New(t)
	w.Programs = world.PlainPrograms(t) // for what it takes of memory
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	relay := w.Relay(t, world.Contoso, "echo-hc=echo.corp.example:7@127.0.0.2:10007")
	settings := append(w.Settings(t, relay.Connections, relay.CAFile), "HYCO_DRAIN_TIMEOUT=60s", "HYCO_ADMIN_LISTEN=127.0.0.1:8477,"+world.AppAddress+":8477")
	s := w.Sidecar(t, settings...)
	outside := "http://" + world.AppAddress + ":8477"

	for _, test := range []struct {
		name, want string // status, and what the head must have
		from       string
		args       []string
	}{
		{"an unknown path", "404", w.App, []string{world.Admin + "/metrics/"}},
		{"a file of the machine", "404", w.App, []string{world.Admin + "/etc/passwd"}},
		{"a method of a probe", "405 allow: get, head", w.App, []string{"-X", "DELETE", world.Admin + "/livez"}},
		{"a method of the status", "405 allow: get, head", w.App, []string{"-X", "POST", world.Admin + "/api/status"}},
		{"a quit that changes nothing", "405 allow: post", w.App, []string{world.Admin + "/quitquitquit"}},
		{"a name that was made to lead here, the status", "421", w.App, []string{"-H", "Host: evil.example", world.Admin + "/api/status"}},
		{"a name that was made to lead here, the page", "421", w.App, []string{"-H", "Host: evil.example:8477", world.Admin + "/"}},
		{"a name that was made to lead here, quit", "421", w.App, []string{"-X", "POST", "-H", "Host: evil.example", world.Admin + "/quitquitquit"}},
		{"another page's quit", "403", w.App, []string{"-X", "POST", "-H", "Origin: https://evil.example", world.Admin + "/quitquitquit"}},
		{"another site's quit", "403", w.App, []string{"-X", "POST", "-H", "Sec-Fetch-Site: cross-site", world.Admin + "/quitquitquit"}},
		{"another machine's quit", "403", w.Site, []string{"-X", "POST", outside + "/quitquitquit"}},
		{"profiles that nobody asked for", "404", w.App, []string{world.Admin + "/debug/pprof/"}},
		{"a head without end", "431", w.App, []string{"-H", "X: " + strings.Repeat("x", 64<<10), world.Admin + "/livez"}},
		{"another machine's probe", "200", w.Site, []string{outside + "/readyz"}},
		{"another machine's scrape by name", "200", w.Site, []string{"-H", "Host: orders.default.svc:8477", outside + "/metrics"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, head, _ := strings.Cut(test.want, " ")
			if got := w.Ask(t, test.from, test.args...); got.Code != code || !strings.Contains(got.Header, head) {
				t.Errorf("got %s\n%s\n%s\nwant %s", got.Code, got.Header, got.Body, test.want)
			}
		})
	}

	t.Run("AClientThatIsTooSlowIsCut", func(t *testing.T) {
		c := w.Client(t, "127.0.0.1:8477")
		c.MustDo(t, "write GET /livez HTTP/1.1", "ok")
		began := time.Now()
		if got := c.Do(t, "readall"); !strings.HasPrefix(got, "EOF ") && !strings.HasPrefix(got, "ECONNRESET ") {
			t.Errorf("the client saw %q", got)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it was given %v", took)
		}
	})
	t.Run("ClientsThatNeverReadDoNoHarm", func(t *testing.T) {
		resident := s.Resident(t)
		deaf := w.Role(t, w.App, "deaf", "127.0.0.1:8477", "50", "/metrics")
		deaf.AwaitText(t, "asked")
		for range 20 {
			wantProbe(t, w, "/livez", "200 ok")
			wantProbe(t, w, "/readyz", "200 ok")
		}
		c := w.Client(t, "echo.corp.example:7")
		c.MustDo(t, "write hello", "ok")
		c.MustDo(t, "line", "hello")
		c.MustDo(t, "close", "ok")
		if now := s.Resident(t); now > resident+48<<10 {
			t.Errorf("memory grew from %d to %d KiB", resident, now)
		}
		t.Logf("memory: %d KiB before, %d KiB now", resident, s.Resident(t))
		// They hold what answers /metrics at once, until they are cut.
		world.Eventually(t, 2*world.Patience, "metrics again", func() bool { return w.Ask(t, w.App, world.Admin+"/metrics").Code == "200" })
		deaf.End(syscall.SIGKILL)
	})
	if !s.Running() || strings.Contains(s.Stderr.String(), `"draining"`) {
		t.Fatal("a stranger has ended the sidecar")
	}

	t.Run("QuitDrains", func(t *testing.T) {
		c := w.Client(t, "echo.corp.example:7")
		c.MustDo(t, "write before", "ok")
		c.MustDo(t, "line", "before")
		for range 2 { // which may be asked again
			if got := w.Ask(t, w.App, "-X", "POST", world.Admin+"/quitquitquit"); got.Code != "200" {
				t.Fatalf("got %s %s", got.Code, got.Body)
			}
		}
		wantProbe(t, w, "/readyz", "503 draining: ")
		c.MustDo(t, "write during", "ok")
		c.MustDo(t, "line", "during")
		late := w.Client(t, "echo.corp.example:7")
		late.MustDo(t, "write late", "ok")
		late.MustDo(t, "line", "late")
		late.MustDo(t, "close", "ok")
		c.MustDo(t, "close", "ok")
		if code := s.Wait(t, world.Patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		if n := strings.Count(s.Stderr.String(), `"msg":"draining"`); n != 1 {
			t.Errorf("draining was logged %d times", n)
		}
	})
	t.Run("SignalsAfterAQuitEndItAtOnce", func(t *testing.T) {
		s := w.Sidecar(t, settings...)
		c := w.Client(t, "echo.corp.example:7")
		c.MustDo(t, "write before", "ok")
		c.MustDo(t, "line", "before")
		w.Ask(t, w.App, "-X", "POST", world.Admin+"/quitquitquit")
		s.SignalUntilGone(t, world.Patience)
		if code := s.Wait(t, time.Second); code != 1 {
			t.Errorf("exit code %d, want 1: it has not drained", code)
		}
		c.MustDo(t, "readall", "ECONNRESET after 0 bytes")
	})
	t.Run("ProfilesAreForThisMachine", func(t *testing.T) {
		w.Sidecar(t, append(settings, "HYCO_ADMIN_PPROF=true")...)
		for from, want := range map[string]string{w.App: "200", w.Site: "403"} {
			base := map[string]string{w.App: world.Admin, w.Site: outside}[from]
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/profile?seconds=1"} {
				if got := w.Ask(t, from, base+path); got.Code != want {
					t.Errorf("%s%s: got %s, want %s", base, path, got.Code, want)
				}
			}
		}
		if got := w.Ask(t, w.App, world.Admin+"/debug/pprof/cmdline"); got.Code != "404" {
			t.Errorf("cmdline: got %s", got.Code)
		}
	})
}

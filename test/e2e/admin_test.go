package e2e_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asked is what the admin server answered.
type asked struct {
	code   string
	header string // in lower case
	body   string
}

// ask is one request by curl in ns, with its options before the URL.
func (w *world) ask(t testing.TB, ns string, args ...string) asked {
	t.Helper()
	out := w.mustRun(t, ns, command{}, append([]string{"curl", "-sS", "-i", "--max-time", "30", "-w", "\n%{http_code}"}, args...)...)
	out = strings.ReplaceAll(out, "\r\n", "\n")
	i := strings.LastIndexByte(out, '\n')
	header, body, _ := strings.Cut(out[:i], "\n\n")
	return asked{code: out[i+1:], header: strings.ToLower(header), body: body}
}

// probe is a probe's answer in short.
func (w *world) probe(t testing.TB, path string) string {
	t.Helper()
	a := w.ask(t, w.app, admin+path)
	return a.code + " " + strings.TrimSpace(a.body)
}

func (w *world) wantProbe(t testing.TB, path, want string) {
	t.Helper()
	if got := w.probe(t, path); !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %q, want %q", path, got, want)
	}
}

// TestProbes: the relay's state is none of theirs, since nobody gets better by a
// restart of the app.
func TestProbes(t *testing.T) {
	needs(t, "curl")
	w := newWorld(t)
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	relay := w.relay(t, contoso, "echo-hc=echo.corp.example:7@127.0.0.2:10007", "nobody-hc")
	settings := append(w.settings(t, append(relay.connections[:1:1], relay.entity(t, "nobody-hc", "nobody.corp.example:80")), relay.caFile),
		"HYCO_CONNECT_TIMEOUT=1s", "HYCO_MAX_CONNECTIONS=2", "HYCO_DRAIN_TIMEOUT=60s")
	s := w.sidecar(t, settings...)
	well := func(t *testing.T) {
		t.Helper()
		for _, path := range []string{"/livez", "/readyz", "/startupz"} {
			w.wantProbe(t, path, "200 ok")
		}
		w.wantProbe(t, "/readyz?verbose", "200 sockets: bound\ndraining: no\nconnections: below HYCO_MAX_CONNECTIONS\nok")
	}
	healthcheck := func(t *testing.T, want int) {
		t.Helper()
		r := w.run(t, w.app, command{env: sidecarEnvironment(settings)}, filepath.Join(w.programs, "hyco-sidecar"), "healthcheck")
		if r.code != want {
			t.Errorf("healthcheck: exit code %d, want %d\n%s%s", r.code, want, r.stdout, r.stderr)
		}
	}
	fail := func(t *testing.T, endpoint string) {
		t.Helper()
		if got := w.attempt(t, endpoint).answer(t, patience); got != "ECONNRESET after 0 bytes" {
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
		relay.end(syscall.SIGKILL)
		for range 3 {
			fail(t, "echo.corp.example:7")
		}
		well(t)
		healthcheck(t, 0)
		relay.restart(t, w) // with other keys and another certificate
		s.stop(t, patience)
		settings = append(settings[:0:0], append(w.settings(t, relay.connections[:1], relay.caFile), "HYCO_MAX_CONNECTIONS=2", "HYCO_DRAIN_TIMEOUT=60s")...)
		s = w.sidecar(t, settings...)
	})
	open := func(t *testing.T) *client {
		t.Helper()
		c := w.client(t, "echo.corp.example:7")
		c.mustDo(t, "write before", "ok")
		c.mustDo(t, "line", "before")
		return c
	}
	t.Run("AreNotReadyAtTheLimit", func(t *testing.T) {
		one, two := open(t), open(t)
		w.wantProbe(t, "/readyz", "503 connections: ")
		w.wantProbe(t, "/livez", "200 ok")
		w.wantProbe(t, "/startupz", "200 ok")
		one.mustDo(t, "reset", "ok")
		eventually(t, patience, "ready again", func() bool { return w.probe(t, "/readyz") == "200 ok" })
		two.mustDo(t, "reset", "ok")
	})
	t.Run("AreNotReadyWhileDraining", func(t *testing.T) {
		c := open(t)
		s.beginDrain(t)
		eventually(t, patience, "not ready", func() bool { return strings.HasPrefix(w.probe(t, "/readyz"), "503 draining: ") })
		w.wantProbe(t, "/livez", "200 ok")
		w.wantProbe(t, "/startupz", "200 ok")
		c.mustDo(t, "write during", "ok")
		c.mustDo(t, "line", "during")
		c.mustDo(t, "close", "ok")
		if code := s.wait(t, patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})
}

// TestAdminKeepsStrangersOut asks what must not be answered.
func TestAdminKeepsStrangersOut(t *testing.T) {
	needs(t, "curl")
	w := newWorld(t)
	w.programs = plainPrograms(t) // for what it takes of memory
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	relay := w.relay(t, contoso, "echo-hc=echo.corp.example:7@127.0.0.2:10007")
	settings := append(w.settings(t, relay.connections, relay.caFile), "HYCO_DRAIN_TIMEOUT=60s", "HYCO_ADMIN_LISTEN=127.0.0.1:8477,"+appAddress+":8477")
	s := w.sidecar(t, settings...)
	outside := "http://" + appAddress + ":8477"

	for _, test := range []struct {
		name, want string // status, and what the head must have
		from       string
		args       []string
	}{
		{"an unknown path", "404", w.app, []string{admin + "/metrics/"}},
		{"a file of the machine", "404", w.app, []string{admin + "/etc/passwd"}},
		{"a method of a probe", "405 allow: get, head", w.app, []string{"-X", "DELETE", admin + "/livez"}},
		{"a method of the status", "405 allow: get, head", w.app, []string{"-X", "POST", admin + "/api/status"}},
		{"a quit that changes nothing", "405 allow: post", w.app, []string{admin + "/quitquitquit"}},
		{"a name that was made to lead here, the status", "421", w.app, []string{"-H", "Host: evil.example", admin + "/api/status"}},
		{"a name that was made to lead here, the page", "421", w.app, []string{"-H", "Host: evil.example:8477", admin + "/"}},
		{"a name that was made to lead here, quit", "421", w.app, []string{"-X", "POST", "-H", "Host: evil.example", admin + "/quitquitquit"}},
		{"another page's quit", "403", w.app, []string{"-X", "POST", "-H", "Origin: https://evil.example", admin + "/quitquitquit"}},
		{"another site's quit", "403", w.app, []string{"-X", "POST", "-H", "Sec-Fetch-Site: cross-site", admin + "/quitquitquit"}},
		{"another machine's quit", "403", w.site, []string{"-X", "POST", outside + "/quitquitquit"}},
		{"profiles that nobody asked for", "404", w.app, []string{admin + "/debug/pprof/"}},
		{"a head without end", "431", w.app, []string{"-H", "X: " + strings.Repeat("x", 64<<10), admin + "/livez"}},
		{"another machine's probe", "200", w.site, []string{outside + "/readyz"}},
		{"another machine's scrape by name", "200", w.site, []string{"-H", "Host: orders.default.svc:8477", outside + "/metrics"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, head, _ := strings.Cut(test.want, " ")
			if got := w.ask(t, test.from, test.args...); got.code != code || !strings.Contains(got.header, head) {
				t.Errorf("got %s\n%s\n%s\nwant %s", got.code, got.header, got.body, test.want)
			}
		})
	}

	t.Run("AClientThatIsTooSlowIsCut", func(t *testing.T) {
		c := w.client(t, "127.0.0.1:8477")
		c.mustDo(t, "write GET /livez HTTP/1.1", "ok")
		began := time.Now()
		if got := c.do(t, "readall"); !strings.HasPrefix(got, "EOF ") && !strings.HasPrefix(got, "ECONNRESET ") {
			t.Errorf("the client saw %q", got)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it was given %v", took)
		}
	})
	t.Run("ClientsThatNeverReadDoNoHarm", func(t *testing.T) {
		resident := s.resident(t)
		deaf := w.role(t, w.app, "deaf", "127.0.0.1:8477", "50", "/metrics")
		deaf.awaitText(t, "asked")
		for range 20 {
			w.wantProbe(t, "/livez", "200 ok")
			w.wantProbe(t, "/readyz", "200 ok")
		}
		c := w.client(t, "echo.corp.example:7")
		c.mustDo(t, "write hello", "ok")
		c.mustDo(t, "line", "hello")
		c.mustDo(t, "close", "ok")
		if now := s.resident(t); now > resident+48<<10 {
			t.Errorf("memory grew from %d to %d KiB", resident, now)
		}
		t.Logf("memory: %d KiB before, %d KiB now", resident, s.resident(t))
		// They hold what answers /metrics at once, until they are cut.
		eventually(t, 2*patience, "metrics again", func() bool { return w.ask(t, w.app, admin+"/metrics").code == "200" })
		deaf.end(syscall.SIGKILL)
	})
	if len(s.exited) > 0 || strings.Contains(s.stderr.String(), `"draining"`) {
		t.Fatal("a stranger has ended the sidecar")
	}

	t.Run("QuitDrains", func(t *testing.T) {
		c := w.client(t, "echo.corp.example:7")
		c.mustDo(t, "write before", "ok")
		c.mustDo(t, "line", "before")
		for range 2 { // which may be asked again
			if got := w.ask(t, w.app, "-X", "POST", admin+"/quitquitquit"); got.code != "200" {
				t.Fatalf("got %s %s", got.code, got.body)
			}
		}
		w.wantProbe(t, "/readyz", "503 draining: ")
		c.mustDo(t, "write during", "ok")
		c.mustDo(t, "line", "during")
		late := w.client(t, "echo.corp.example:7")
		late.mustDo(t, "write late", "ok")
		late.mustDo(t, "line", "late")
		late.mustDo(t, "close", "ok")
		c.mustDo(t, "close", "ok")
		if code := s.wait(t, patience); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		if n := strings.Count(s.stderr.String(), `"msg":"draining"`); n != 1 {
			t.Errorf("draining was logged %d times", n)
		}
	})
	t.Run("SignalsAfterAQuitEndItAtOnce", func(t *testing.T) {
		s := w.sidecar(t, settings...)
		c := w.client(t, "echo.corp.example:7")
		c.mustDo(t, "write before", "ok")
		c.mustDo(t, "line", "before")
		w.ask(t, w.app, "-X", "POST", admin+"/quitquitquit")
		s.signalUntilGone(t, patience)
		if code := s.wait(t, time.Second); code != 1 {
			t.Errorf("exit code %d, want 1: it has not drained", code)
		}
		c.mustDo(t, "readall", "ECONNRESET after 0 bytes")
	})
	t.Run("ProfilesAreForThisMachine", func(t *testing.T) {
		w.sidecar(t, append(settings, "HYCO_ADMIN_PPROF=true")...)
		for from, want := range map[string]string{w.app: "200", w.site: "403"} {
			base := map[string]string{w.app: admin, w.site: outside}[from]
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/profile?seconds=1"} {
				if got := w.ask(t, from, base+path); got.code != want {
					t.Errorf("%s%s: got %s, want %s", base, path, got.code, want)
				}
			}
		}
		if got := w.ask(t, w.app, admin+"/debug/pprof/cmdline"); got.code != "404" {
			t.Errorf("cmdline: got %s", got.code)
		}
	})
}

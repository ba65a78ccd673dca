//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// What the proxies of these tests ask for. In a URL most of it has to be escaped.
const (
	proxyUser     = `corp\app`
	proxyPassword = "pass:w@rd%/#"
)

// proxyAt is HTTPS_PROXY with these credentials.
func proxyAt(scheme, address string) string {
	u := url.URL{Scheme: scheme, Host: address, User: url.UserPassword(proxyUser, proxyPassword)}
	return "HTTPS_PROXY=" + u.String()
}

// passwordForms are what no output may show.
func passwordForms() []string {
	return []string{proxyPassword, url.QueryEscape(proxyPassword), url.PathEscape(proxyPassword),
		strings.TrimPrefix(url.UserPassword("", proxyPassword).String(), ":"), "Y29ycFxhcHA6"} // base64 begins so
}

func wantNoPassword(t *testing.T, what, text string) {
	t.Helper()
	for _, form := range passwordForms() {
		if strings.Contains(text, form) {
			t.Errorf("%s shows %q:\n%s", what, form, world.Tail(text))
		}
	}
}

// startTinyproxy starts a proxy that nobody here wrote.
func startTinyproxy(t *testing.T, w *world.World, port int) *world.Process {
	t.Helper()
	world.Needs(t, "tinyproxy")
	file := filepath.Join(w.Dir, "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen %s\nTimeout 600\nMaxClients 100\nLogLevel Connect\nBasicAuth app secret\nConnectPort 443\n", port, world.SiteAddress)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.Start(t, w.Site, "tinyproxy", nil, "tinyproxy", "-d", "-c", file)
	awaitPort(t, w, port)
	return p
}

// awaitPort waits until somebody accepts at the port of site.
func awaitPort(t *testing.T, w *world.World, port int) {
	t.Helper()
	world.Eventually(t, world.Patience, fmt.Sprintf("port %d to be open", port), func() bool {
		return w.Run(t, w.Site, world.Command{}, "nc.openbsd", "-z", world.SiteAddress, fmt.Sprint(port)).Code == 0
	})
}

// TestAppsThroughAProxy has one way after the other through a proxy. What an app
// sees is the same through each, and as without one.
func TestAppsThroughAProxy(t *testing.T) {
	t.Parallel()
	world.Needs(t, "curl", "nc.openbsd", "tinyproxy", "microsocks")
	const size = 4 << 20
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "late", "127.0.0.2:10080", fmt.Sprint(size), "3s")
	halfCloser := w.Serve(t, w.Site, "half-close", "127.0.0.2:10081", "hello")
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	relay := w.Relay(t, world.Contoso, "-personality", "halfclose",
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"late-hc=late.corp.example:80@127.0.0.2:10080",
		"half-hc=half.corp.example:81@127.0.0.2:10081",
		"echo-hc=echo.corp.example:7@127.0.0.2:10007")
	proxyCA := filepath.Join(w.Dir, "proxy.pem")
	credentials := []string{"user=" + proxyUser, "password=" + proxyPassword}
	w.Serve(t, w.Site, "proxy", world.SiteAddress+":3128", credentials...)
	w.Serve(t, w.Site, "proxy", world.SiteAddress+":3129", append(credentials, "ca="+proxyCA)...)
	startTinyproxy(t, w, 8888)
	w.Start(t, w.Site, "microsocks", nil, "microsocks", "-i", world.SiteAddress, "-p", "1080", "-u", "app", "-P", "secret")
	awaitPort(t, w, 1080)
	settings := append(w.Settings(t, relay.Connections, relay.CAFile, proxyCA), "HYCO_KEEPALIVE=1s", "HYCO_LOG_LEVEL=debug")

	for _, way := range []struct{ name, proxy, noProxy, port string }{
		{"HTTP", proxyAt("http", world.SiteAddress+":3128"), "", "3128"},
		{"HTTPS", proxyAt("https", world.SiteAddress+":3129"), "", "3129"},
		{"Tinyproxy", "HTTPS_PROXY=http://app:secret@" + world.SiteAddress + ":8888", "", "8888"},
		{"ByNameInLowerCase", "https_proxy=app:secret@example.com:8888", "fabrikam.servicebus.example", "8888"},
		{"Microsocks", "HTTPS_PROXY=socks5://app:secret@" + world.SiteAddress + ":1080", "", "1080"},
		{"Direct", proxyAt("http", world.SiteAddress+":3128"), ".servicebus.example", "443"},
	} {
		t.Run(way.name, func(t *testing.T) {
			s := w.Sidecar(t, append(settings, way.proxy, "NO_PROXY="+way.noProxy, "HYCO_WARM_CONNECTIONS=0")...)
			defer s.Stop(t, world.Patience)

			curlMovesData(t, w, "orders.corp.example:8080", size)

			// The server thinks for three seconds, in which the proxy sees pings alone.
			got := w.MustRun(t, w.App, world.Command{Stdin: strings.NewReader("GET / HTTP/1.0\r\n\r\n")}, "nc.openbsd", "-N", "late.corp.example", "80")
			if body, ok := strings.CutPrefix(got, "HTTP/1.0 200 OK\r\n\r\n"); !ok || role.Sum([]byte(body)) != role.PatternSum(0, size) {
				t.Errorf("after the app's half-close: got %d bytes, want all %d", len(body), size)
			}
			if got := s.AwaitClosed(t, "late.corp.example:80", 1); got.Cause != "closed" {
				t.Errorf("logged: %s", got.Line)
			}

			c := w.Client(t, "half.corp.example:81")
			c.MustDo(t, "readall", fmt.Sprintf("EOF 5 %s", role.Sum([]byte("hello"))))
			want := fmt.Sprintf("%d %s", size, role.PatternSum(0, size))
			c.MustDo(t, fmt.Sprint("send ", size), "sent "+want)
			before := strings.Count(halfCloser.Stdout.String(), want)
			c.MustDo(t, "closewrite", "ok")
			halfCloser.Await(t, &halfCloser.Stdout, world.Patience, "all that was sent", func(out string) bool { return strings.Count(out, want) > before })

			c = w.Client(t, "echo.corp.example:7")
			c.MustDo(t, "write hello", "ok")
			c.MustDo(t, "line", "hello")
			for _, port := range []string{"443", "1080", "3128", "3129", "8888"} {
				want := 0
				if port == way.port {
					want = 1
				}
				if n := s.Established(t, world.SiteAddress+":"+port); n != want {
					t.Errorf("%d connections to port %s, want %d", n, port, want)
				}
			}
			c.MustDo(t, "reset", "ok")
			if got := s.AwaitClosed(t, "echo.corp.example:7", 1); got.Cause != "app_reset" {
				t.Errorf("logged: %s", got.Line)
			}
			wantNoPassword(t, "the log", s.Stderr.String())
			if strings.Contains(s.Stderr.String(), "secret") {
				t.Errorf("the log shows the password:\n%s", world.Tail(s.Stderr.String()))
			}
		})
	}
}

// TestRelaysInNoProxyAreReachedDirectly has the forms that net/http knows.
func TestRelaysInNoProxyAreReachedDirectly(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	connection := func(n int, host string) []string {
		return []string{
			fmt.Sprintf("HYCO_CONNECTION_%d_ENDPOINT=orders%d.corp.example:80", n, n),
			fmt.Sprintf("HYCO_CONNECTION_%d_CONNECTION_STRING=Endpoint=sb://%s/;SharedAccessKeyName=send;SharedAccessKey=c2VuZA==;EntityPath=orders-hc", n, host),
		}
	}
	settings := append(connection(0, "contoso.servicebus.example"), connection(1, "192.0.2.7:8443")...)
	const (
		name  = "proxy to contoso.servicebus.example "
		ip    = "proxy to 192.0.2.7:8443 "
		shown = "http://10.213.0.2:3128, with credentials"
	)
	for _, test := range []struct {
		noProxy  string
		name, ip bool // goes through the proxy
	}{
		{"", true, true},
		{"contoso.servicebus.example", false, true},
		{"servicebus.example", false, true},
		{".servicebus.example", false, true},
		{"CONTOSO.servicebus.example:443", false, true},
		{"contoso.servicebus.example:8443", true, true},
		{"*.servicebus.example", false, true},
		{"fabrikam.servicebus.example, bus.example", true, true},
		{"192.0.2.7", true, false},
		{"192.0.2.0/24,10.0.0.0/8", true, false},
		{"192.0.2.7:443", true, true},
		{"*", false, false},
	} {
		for _, variable := range []string{"NO_PROXY=", "no_proxy="} {
			got := w.Config(t, append(settings, proxyAt("http", world.SiteAddress+":3128"), variable+test.noProxy))
			wantNoPassword(t, "config", got)
			for label, through := range map[string]bool{name: test.name, ip: test.ip} {
				_, rest, ok := strings.Cut(got, label)
				line, _, _ := strings.Cut(rest, "\n")
				want := "none"
				if through {
					want = shown
				}
				if !test.name && !test.ip { // then there is one line for all
					_, line, ok = strings.Cut(got, "\nproxy ")
				}
				if !ok || strings.TrimSpace(line) != want {
					t.Errorf("%s%s: %s is %q, want %q in\n%s", variable, test.noProxy, label, line, want, got)
				}
			}
		}
	}
	// What net/http does not look at.
	got := w.Config(t, append(settings, "ALL_PROXY=http://10.213.0.2:3128", "HTTP_PROXY=http://10.213.0.2:3128"))
	if _, line, ok := strings.Cut(got, "\nproxy "); !ok || strings.TrimSpace(line) != "none" {
		t.Errorf("with ALL_PROXY and HTTP_PROXY alone: got\n%s", got)
	}
}

// proxyFault is one way in which a proxy fails, as everybody sees it.
type proxyFault struct {
	name    string
	role    []string // of the proxy; nil = nobody is there
	setting func(address string) string
	verdict check.Verdict
	code    int
	status  int    // the proxy's
	says    string // in the log line
	next    string
	atOnce  bool // trying again would not help
}

// TestProxyThatFailsIsAReset has every way in which a proxy fails: the app is
// reset in time, and the log line and check say what is wrong.
func TestProxyThatFailsIsAReset(t *testing.T) {
	world.Needs(t, "unshare", "mount", "tinyproxy")
	const budget = 3 * time.Second
	w := world.New(t)
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:80@127.0.0.2:18080")
	with := func(scheme string) func(string) string {
		return func(address string) string { return proxyAt(scheme, address) }
	}
	nobody := func(address string) string { return "HTTPS_PROXY=http://" + address }
	other := func(address string) string { return "HTTPS_PROXY=" + "http://app:wrong-secret@" + address }
	faults := []proxyFault{
		{name: "dead port", setting: with("http"), verdict: check.ProxyUnreachable, code: 52, says: "connection refused", next: "allow TCP to"},
		{name: "no such name", setting: func(string) string { return proxyAt("http", "proxy.corp.example:3128") },
			verdict: check.ProxyUnreachable, code: 52, says: "no such host", next: "HTTPS_PROXY names the proxy"},
		{name: "not trusted", role: []string{"ca=" + filepath.Join(w.Dir, "other.pem")}, setting: with("https"), verdict: check.ProxyUnreachable, code: 52, says: "certificate", next: "HYCO_CA_FILE", atOnce: true},
		{name: "refuses", role: []string{"mode=refuse", "status=403", "phrase=Filtered by policy 7"}, setting: with("http"), verdict: check.ProxyRefused, code: 53, status: 403, says: "Filtered by policy 7", next: "CONNECT to contoso.servicebus.example:443", atOnce: true},
		{name: "reaches no relay", role: []string{"mode=refuse", "status=504"}, setting: with("http"), verdict: check.ProxyRefused, code: 53, status: 504, says: "Gateway Timeout", next: "whether it reaches contoso.servicebus.example:443"},
		{name: "wants credentials", role: []string{"user=x", "password=y"}, setting: nobody, verdict: check.ProxyUnauthorized, code: 54, status: 407, says: "Proxy Authentication Required", next: "http://user:password@", atOnce: true},
		{name: "wants others", role: []string{"user=x", "password=y"}, setting: with("http"), verdict: check.ProxyUnauthorized, code: 54, status: 407, next: "the user name or the password", atOnce: true},
		{name: "wants Windows", role: []string{"user=x", "password=y", "challenge=Negotiate", "challenge=NTLM"}, setting: with("http"), verdict: check.ProxyUnauthorized, code: 54, status: 407, next: "negotiate, ntlm alone, which is not supported", atOnce: true},
		{name: "tinyproxy wants others", setting: other, verdict: check.ProxyUnauthorized, code: 54, status: 401, next: "the user name or the password", atOnce: true},
		{name: "silent", role: []string{"mode=silent"}, setting: with("http"), verdict: check.ProxyNoAnswer, code: 55, says: "no answer in time", next: "what is spoken at"},
		{name: "silent SOCKS", role: []string{"mode=silent"}, setting: with("socks5"), verdict: check.ProxyNoAnswer, code: 55, says: "no answer in time", next: "what is spoken at"},
		{name: "silent behind CONNECT", role: []string{"mode=mute"}, setting: with("http"), verdict: check.ProxyNoAnswer, code: 55, says: "nothing came through", next: "whether it reaches contoso.servicebus.example:443"},
		{name: "hangs up", role: []string{"mode=hang-up"}, setting: with("http"), verdict: check.ProxyFailed, code: 51, says: "instead of answering", next: "scheme, host and port"},
		{name: "no proxy", role: []string{"mode=garbage"}, setting: with("http"), verdict: check.ProxyFailed, code: 51, says: "not a proxy of this kind", next: "scheme and port", atOnce: true},
	}
	sidecars := make([]*world.Sidecar, len(faults))
	settings := make([][]string, len(faults))
	addresses := make([]string, len(faults))
	for i, f := range faults {
		port := 3200 + i
		address := fmt.Sprint(world.SiteAddress, ":", port)
		switch {
		case f.role != nil:
			w.Serve(t, w.Site, "proxy", address, f.role...)
		case strings.HasPrefix(f.name, "tinyproxy"):
			startTinyproxy(t, w, port)
		}
		// They run side by side, each with addresses of its own.
		settings[i] = append(w.Settings(t, relay.Connections, relay.CAFile), f.setting(address), "HYCO_LOG_LEVEL=debug",
			"HYCO_CONNECT_TIMEOUT="+budget.String(), fmt.Sprintf("HYCO_DNS_LISTEN=127.0.0.%d:53", i+1),
			fmt.Sprintf("HYCO_LOOPBACK_RANGE=127.%d.0.0/16", 80+i), fmt.Sprintf("HYCO_ADMIN_LISTEN=127.0.0.1:%d", 8500+i))
		sidecars[i] = w.StartSidecar(t, w.App, f.name, settings[i])
		addresses[i] = w.StandIn(t, settings[i], "orders.corp.example") + ":80"
	}
	for _, s := range sidecars {
		s.AwaitReady(t)
	}
	clients := make([]*world.Client, len(faults))
	for i := range faults {
		clients[i] = w.Attempt(t, addresses[i])
	}
	checks := make([]*world.Process, len(faults))
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if got := clients[i].Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
				t.Errorf("the app saw %q, want a reset", got)
			}
			got := sidecars[i].AwaitClosed(t, "orders.corp.example:80", 1)
			if got.Cause != "dial_failed" || got.Stage != "proxy" || got.Status != f.status || !strings.Contains(got.Line, `"reason":"`+string(f.verdict)+`"`) {
				t.Errorf("want dial_failed at the proxy, %s, status %d; logged: %s", f.verdict, f.status, got.Line)
			}
			if !strings.Contains(got.Line, f.says) || !strings.Contains(got.Next, f.next) || !strings.Contains(got.Line, `"proxy":"`) {
				t.Errorf("want %q and what to do, %q; logged: %s", f.says, f.next, got.Line)
			}
			took, err := time.ParseDuration(got.Took)
			if err != nil || took > budget+2*time.Second || f.atOnce && took > budget/2 {
				t.Errorf("it took %q (%v), the budget is %v; at once: %t", got.Took, err, budget, f.atOnce)
			}
		})
	}
	for i, s := range sidecars { // no sooner, for the first is the machine's resolver
		if code := s.Stop(t, world.Patience); code != 0 {
			t.Errorf("%s: exit code %d at the end", faults[i].name, code)
		}
		wantNoPassword(t, "the log", s.Stderr.String())
	}
	for i := range faults { // a few at once: they wait more than they compute
		for n := i; n < min(i+4, len(faults)); n++ {
			if checks[n] == nil {
				checks[n] = w.StartCheck(t, settings[n], world.SiteResolver, "--json")
			}
		}
		wantProxyVerdict(t, checks[i], faults[i])
	}
}

// wantProxyVerdict waits for a check and compares what it found.
func wantProxyVerdict(t *testing.T, p *world.Process, f proxyFault) {
	t.Helper()
	if code := p.Wait(t, world.Patience); code != f.code {
		t.Errorf("%s: check's exit code is %d, want %d\n%s", f.name, code, f.code, p.Stdout.String())
	}
	wantNoPassword(t, "check", p.Stdout.String()+p.Stderr.String())
	var report check.Report
	if err := json.Unmarshal([]byte(p.Stdout.String()), &report); err != nil || len(report.Endpoints) != 1 {
		t.Fatalf("%s: %v in\n%s", f.name, err, p.Stdout.String())
	}
	for _, s := range report.Endpoints[0].Stages {
		if s.Stage != check.RelayPort {
			continue
		}
		if s.Verdict != f.verdict || !strings.Contains(s.Next, f.next) || !strings.Contains(s.Saw, " (proxy ") || f.status != 0 && !strings.HasPrefix(s.Saw, fmt.Sprint(f.status, " ")) {
			t.Errorf("%s: want %s, next %q; got %+v", f.name, f.verdict, f.next, s)
		}
	}
}

// TestProxyThatDiesIsAReset ends the proxy in the middle of a download, and stops
// another one without ending it: what is missing must not look like the end.
func TestProxyThatDiesIsAReset(t *testing.T) {
	t.Parallel()
	world.Needs(t)
	w := world.New(t)
	w.Serve(t, w.Site, "stream", "127.0.0.2:10019")
	relay := w.Relay(t, world.Contoso, "stream-hc=stream.corp.example:19@127.0.0.2:10019")
	const size = 4 << 20
	for i, how := range []struct {
		name   string
		signal syscall.Signal
	}{{"Killed", syscall.SIGKILL}, {"Frozen", syscall.SIGSTOP}} {
		t.Run(how.name, func(t *testing.T) {
			address := fmt.Sprint(world.SiteAddress, ":", 3128+i)
			proxy := w.Serve(t, w.Site, "proxy", address)
			s := w.Sidecar(t, append(w.Settings(t, relay.Connections, relay.CAFile), "HTTPS_PROXY=http://"+address, "HYCO_KEEPALIVE=1s")...)
			defer s.Stop(t, world.Patience)
			c := w.Client(t, "stream.corp.example:19")
			c.MustDo(t, fmt.Sprint("read ", size), fmt.Sprintf("read %d %s", size, role.PatternSum(0, size)))
			c.Begin(t, "readall")
			proxy.Signal(how.signal)
			if got := c.Answer(t, world.Patience); !strings.HasPrefix(got, "ECONNRESET ") {
				t.Errorf("the app saw %q, want ECONNRESET", got)
			}
			if got := s.AwaitClosed(t, "stream.corp.example:19", 1); got.Cause != "tunnel_dropped" {
				t.Errorf("logged: %s", got.Line)
			}
			proxy.Signal(syscall.SIGKILL)
		})
	}
}

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
			t.Errorf("%s shows %q:\n%s", what, form, tail(text))
		}
	}
}

// startTinyproxy starts a proxy that nobody here wrote.
func startTinyproxy(t *testing.T, w *world, port int) *process {
	t.Helper()
	needs(t, "tinyproxy")
	file := filepath.Join(w.dir, "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen %s\nTimeout 600\nMaxClients 100\nLogLevel Connect\nBasicAuth app secret\nConnectPort 443\n", port, siteAddress)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.start(t, w.site, "tinyproxy", nil, "tinyproxy", "-d", "-c", file)
	awaitPort(t, w, port)
	return p
}

// awaitPort waits until somebody accepts at the port of site.
func awaitPort(t *testing.T, w *world, port int) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("port %d to be open", port), func() bool {
		return w.run(t, w.site, command{}, "nc.openbsd", "-z", siteAddress, fmt.Sprint(port)).code == 0
	})
}

// TestAppsThroughAProxy has one way after the other through a proxy. What an app
// sees is the same through each, and as without one.
func TestAppsThroughAProxy(t *testing.T) {
	t.Parallel()
	needs(t, "curl", "nc.openbsd", "tinyproxy", "microsocks")
	const size = 4 << 20
	w := newWorld(t)
	w.serve(t, w.site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.serve(t, w.site, "late", "127.0.0.2:10080", fmt.Sprint(size), "3s")
	halfCloser := w.serve(t, w.site, "half-close", "127.0.0.2:10081", "hello")
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	relay := w.relay(t, contoso, "-personality", "halfclose",
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"late-hc=late.corp.example:80@127.0.0.2:10080",
		"half-hc=half.corp.example:81@127.0.0.2:10081",
		"echo-hc=echo.corp.example:7@127.0.0.2:10007")
	proxyCA := filepath.Join(w.dir, "proxy.pem")
	credentials := []string{"user=" + proxyUser, "password=" + proxyPassword}
	w.serve(t, w.site, "proxy", siteAddress+":3128", credentials...)
	w.serve(t, w.site, "proxy", siteAddress+":3129", append(credentials, "ca="+proxyCA)...)
	startTinyproxy(t, w, 8888)
	w.start(t, w.site, "microsocks", nil, "microsocks", "-i", siteAddress, "-p", "1080", "-u", "app", "-P", "secret")
	awaitPort(t, w, 1080)
	settings := append(w.settings(t, relay.connections, relay.caFile, proxyCA), "HYCO_KEEPALIVE=1s", "HYCO_LOG_LEVEL=debug")

	for _, way := range []struct{ name, proxy, noProxy, port string }{
		{"HTTP", proxyAt("http", siteAddress+":3128"), "", "3128"},
		{"HTTPS", proxyAt("https", siteAddress+":3129"), "", "3129"},
		{"Tinyproxy", "HTTPS_PROXY=http://app:secret@" + siteAddress + ":8888", "", "8888"},
		{"ByNameInLowerCase", "https_proxy=app:secret@example.com:8888", "fabrikam.servicebus.example", "8888"},
		{"Microsocks", "HTTPS_PROXY=socks5://app:secret@" + siteAddress + ":1080", "", "1080"},
		{"Direct", proxyAt("http", siteAddress+":3128"), ".servicebus.example", "443"},
	} {
		t.Run(way.name, func(t *testing.T) {
			s := w.sidecar(t, append(settings, way.proxy, "NO_PROXY="+way.noProxy, "HYCO_WARM_CONNECTIONS=0")...)
			defer s.stop(t, patience)

			curlMovesData(t, w, "orders.corp.example:8080", size)

			// The server thinks for three seconds, in which the proxy sees pings alone.
			got := w.mustRun(t, w.app, command{stdin: strings.NewReader("GET / HTTP/1.0\r\n\r\n")}, "nc.openbsd", "-N", "late.corp.example", "80")
			if body, ok := strings.CutPrefix(got, "HTTP/1.0 200 OK\r\n\r\n"); !ok || sum([]byte(body)) != patternSum(0, size) {
				t.Errorf("after the app's half-close: got %d bytes, want all %d", len(body), size)
			}
			if got := s.awaitClosed(t, "late.corp.example:80", 1); got.Cause != "closed" {
				t.Errorf("logged: %s", got.line)
			}

			c := w.client(t, "half.corp.example:81")
			c.mustDo(t, "readall", fmt.Sprintf("EOF 5 %s", sum([]byte("hello"))))
			want := fmt.Sprintf("%d %s", size, patternSum(0, size))
			c.mustDo(t, fmt.Sprint("send ", size), "sent "+want)
			before := strings.Count(halfCloser.stdout.String(), want)
			c.mustDo(t, "closewrite", "ok")
			halfCloser.await(t, &halfCloser.stdout, patience, "all that was sent", func(out string) bool { return strings.Count(out, want) > before })

			c = w.client(t, "echo.corp.example:7")
			c.mustDo(t, "write hello", "ok")
			c.mustDo(t, "line", "hello")
			for _, port := range []string{"443", "1080", "3128", "3129", "8888"} {
				want := 0
				if port == way.port {
					want = 1
				}
				if n := s.established(t, siteAddress+":"+port); n != want {
					t.Errorf("%d connections to port %s, want %d", n, port, want)
				}
			}
			c.mustDo(t, "reset", "ok")
			if got := s.awaitClosed(t, "echo.corp.example:7", 1); got.Cause != "app_reset" {
				t.Errorf("logged: %s", got.line)
			}
			wantNoPassword(t, "the log", s.stderr.String())
			if strings.Contains(s.stderr.String(), "secret") {
				t.Errorf("the log shows the password:\n%s", tail(s.stderr.String()))
			}
		})
	}
}

// TestRelaysInNoProxyAreReachedDirectly has the forms that net/http knows.
func TestRelaysInNoProxyAreReachedDirectly(t *testing.T) {
	needs(t)
	w := newWorld(t)
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
			got := w.config(t, append(settings, proxyAt("http", siteAddress+":3128"), variable+test.noProxy))
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
	got := w.config(t, append(settings, "ALL_PROXY=http://10.213.0.2:3128", "HTTP_PROXY=http://10.213.0.2:3128"))
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
	needs(t, "unshare", "mount", "tinyproxy")
	const budget = 3 * time.Second
	w := newWorld(t)
	relay := w.relay(t, contoso, "orders-hc=orders.corp.example:80@127.0.0.2:18080")
	with := func(scheme string) func(string) string {
		return func(address string) string { return proxyAt(scheme, address) }
	}
	nobody := func(address string) string { return "HTTPS_PROXY=http://" + address }
	other := func(address string) string { return "HTTPS_PROXY=" + "http://app:wrong-secret@" + address }
	faults := []proxyFault{
		{name: "dead port", setting: with("http"), verdict: check.ProxyUnreachable, code: 52, says: "connection refused", next: "allow TCP to"},
		{name: "no such name", setting: func(string) string { return proxyAt("http", "proxy.corp.example:3128") },
			verdict: check.ProxyUnreachable, code: 52, says: "no such host", next: "HTTPS_PROXY names the proxy"},
		{name: "not trusted", role: []string{"ca=" + filepath.Join(w.dir, "other.pem")}, setting: with("https"), verdict: check.ProxyUnreachable, code: 52, says: "certificate", next: "HYCO_CA_FILE", atOnce: true},
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
	sidecars := make([]*sidecar, len(faults))
	settings := make([][]string, len(faults))
	addresses := make([]string, len(faults))
	for i, f := range faults {
		port := 3200 + i
		address := fmt.Sprint(siteAddress, ":", port)
		switch {
		case f.role != nil:
			w.serve(t, w.site, "proxy", address, f.role...)
		case strings.HasPrefix(f.name, "tinyproxy"):
			startTinyproxy(t, w, port)
		}
		// They run side by side, each with addresses of its own.
		settings[i] = append(w.settings(t, relay.connections, relay.caFile), f.setting(address), "HYCO_LOG_LEVEL=debug",
			"HYCO_CONNECT_TIMEOUT="+budget.String(), fmt.Sprintf("HYCO_DNS_LISTEN=127.0.0.%d:53", i+1),
			fmt.Sprintf("HYCO_LOOPBACK_RANGE=127.%d.0.0/16", 80+i), fmt.Sprintf("HYCO_ADMIN_LISTEN=127.0.0.1:%d", 8500+i))
		sidecars[i] = &sidecar{w.start(t, w.app, f.name, sidecarEnvironment(settings[i]), filepath.Join(w.programs, "hyco-sidecar"))}
		addresses[i] = w.standIn(t, settings[i], "orders.corp.example") + ":80"
	}
	for _, s := range sidecars {
		s.awaitReady(t)
	}
	clients := make([]*client, len(faults))
	for i := range faults {
		clients[i] = w.attempt(t, addresses[i])
	}
	checks := make([]*process, len(faults))
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if got := clients[i].answer(t, patience); got != "ECONNRESET after 0 bytes" {
				t.Errorf("the app saw %q, want a reset", got)
			}
			got := sidecars[i].awaitClosed(t, "orders.corp.example:80", 1)
			if got.Cause != "dial_failed" || got.Stage != "proxy" || got.Status != f.status || !strings.Contains(got.line, `"reason":"`+string(f.verdict)+`"`) {
				t.Errorf("want dial_failed at the proxy, %s, status %d; logged: %s", f.verdict, f.status, got.line)
			}
			if !strings.Contains(got.line, f.says) || !strings.Contains(got.Next, f.next) || !strings.Contains(got.line, `"proxy":"`) {
				t.Errorf("want %q and what to do, %q; logged: %s", f.says, f.next, got.line)
			}
			took, err := time.ParseDuration(got.Took)
			if err != nil || took > budget+2*time.Second || f.atOnce && took > budget/2 {
				t.Errorf("it took %q (%v), the budget is %v; at once: %t", got.Took, err, budget, f.atOnce)
			}
		})
	}
	for i, s := range sidecars { // no sooner, for the first is the machine's resolver
		if code := s.stop(t, patience); code != 0 {
			t.Errorf("%s: exit code %d at the end", faults[i].name, code)
		}
		wantNoPassword(t, "the log", s.stderr.String())
	}
	for i := range faults { // a few at once: they wait more than they compute
		for n := i; n < min(i+4, len(faults)); n++ {
			if checks[n] == nil {
				checks[n] = w.checking(t, settings[n], theirs, "--json")
			}
		}
		wantProxyVerdict(t, checks[i], faults[i])
	}
}

// wantProxyVerdict waits for a check and compares what it found.
func wantProxyVerdict(t *testing.T, p *process, f proxyFault) {
	t.Helper()
	if code := p.wait(t, patience); code != f.code {
		t.Errorf("%s: check's exit code is %d, want %d\n%s", f.name, code, f.code, p.stdout.String())
	}
	wantNoPassword(t, "check", p.stdout.String()+p.stderr.String())
	var report check.Report
	if err := json.Unmarshal([]byte(p.stdout.String()), &report); err != nil || len(report.Endpoints) != 1 {
		t.Fatalf("%s: %v in\n%s", f.name, err, p.stdout.String())
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
	needs(t)
	w := newWorld(t)
	w.serve(t, w.site, "stream", "127.0.0.2:10019")
	relay := w.relay(t, contoso, "stream-hc=stream.corp.example:19@127.0.0.2:10019")
	const size = 4 << 20
	for i, how := range []struct {
		name   string
		signal syscall.Signal
	}{{"Killed", syscall.SIGKILL}, {"Frozen", syscall.SIGSTOP}} {
		t.Run(how.name, func(t *testing.T) {
			address := fmt.Sprint(siteAddress, ":", 3128+i)
			proxy := w.serve(t, w.site, "proxy", address)
			s := w.sidecar(t, append(w.settings(t, relay.connections, relay.caFile), "HTTPS_PROXY=http://"+address, "HYCO_KEEPALIVE=1s")...)
			defer s.stop(t, patience)
			c := w.client(t, "stream.corp.example:19")
			c.mustDo(t, fmt.Sprint("read ", size), fmt.Sprintf("read %d %s", size, patternSum(0, size)))
			c.begin(t, "readall")
			proxy.signal(how.signal)
			if got := c.answer(t, patience); !strings.HasPrefix(got, "ECONNRESET ") {
				t.Errorf("the app saw %q, want ECONNRESET", got)
			}
			if got := s.awaitClosed(t, "stream.corp.example:19", 1); got.Cause != "tunnel_dropped" {
				t.Errorf("logged: %s", got.line)
			}
			proxy.signal(syscall.SIGKILL)
		})
	}
}

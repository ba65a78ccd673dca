package relayclient_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakeproxy"
	"hyco-sidecar/test/fakerelay"
)

// What the proxies of these tests ask for: in a URL it has to be escaped.
const (
	proxyUser     = `corp\app`
	proxyPassword = "hu:sh@%/#"
)

// startProxy serves s, on a port of its own, and returns it as HTTPS_PROXY would
// name it, with the credentials if they are asked for.
func startProxy(t *testing.T, s *fakeproxy.Server) *url.URL {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, func(ctx context.Context) error { return s.Serve(ctx, ln) })
	scheme := "http"
	if s.Certificate != nil {
		scheme = "https"
	}
	credentials := ""
	if s.User != "" {
		credentials = url.UserPassword(s.User, s.Password).String() + "@"
	}
	u, err := url.Parse(scheme + "://" + credentials + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// withoutCredentials is u without its user.
func withoutCredentials(u *url.URL) *url.URL { return &url.URL{Scheme: u.Scheme, Host: u.Host} }

func TestRelayIsReachedThroughAProxy(t *testing.T) {
	cert, ca, err := fakerelay.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*fakeproxy.Server{
		"HTTP":  {User: proxyUser, Password: proxyPassword},
		"HTTPS": {User: proxyUser, Password: proxyPassword, Certificate: &cert},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, nil)
			w.roots.AppendCertsFromPEM(ca)
			w.listen(t, fakelistener.HalfClose, echo)
			s.Opened = func(target string) {
				if target != w.addr {
					t.Errorf("CONNECT %s, want %s", target, w.addr)
				}
			}
			var attempt relayclient.Attempt
			w.client.Hooks.Attempted = func(a relayclient.Attempt) { attempt = a }
			w.client.WarmConnections = 1
			w.client.Proxy = http.ProxyURL(startProxy(t, s))
			defer w.client.Close()
			conn := w.dial(t)
			want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
			sent := make(chan error, 1)
			go func() {
				_, err := conn.Write(want)
				sent <- errors.Join(err, conn.CloseWrite())
			}()
			got, err := io.ReadAll(conn)
			if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %d of %d bytes, %v", len(got), len(want), err)
			}
			conn.Close()
			if s.Tunnels() != 1 || len(w.client.WarmAddrs()) != 0 {
				t.Errorf("%d tunnels through the proxy and %d warm connections, want 1 and none", s.Tunnels(), len(w.client.WarmAddrs()))
			}
			if attempt.Connect <= 0 || attempt.TLS <= 0 || attempt.Upgrade <= 0 {
				t.Errorf("spans of the attempt: %+v", attempt)
			}
		})
	}
}

// TestProxyThatDropsTheTunnelIsNoEnd: what is missing must not look like the end.
func TestProxyThatDropsTheTunnelIsNoEnd(t *testing.T) {
	w := start(t, nil)
	w.listen(t, fakelistener.HalfClose, echo)
	s := new(fakeproxy.Server)
	w.client.Proxy = http.ProxyURL(startProxy(t, s))
	conn := w.dial(t)
	defer conn.Close()
	io.WriteString(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.Drop()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want an error that is no end", err)
	}
}

func TestClockIsComparedThroughAProxy(t *testing.T) {
	w := start(t, ahead(time.Hour))
	w.client.Proxy = http.ProxyURL(startProxy(t, new(fakeproxy.Server)))
	if offset, err := w.client.Clock(t.Context()); err != nil || !near(offset, -time.Hour) {
		t.Errorf("got %v, %v; want -1h", offset, err)
	}
	refusing := startProxy(t, &fakeproxy.Server{Mode: fakeproxy.Refuse, Status: http.StatusForbidden})
	w.client = &relayclient.Client{Namespace: w.addr, Proxy: http.ProxyURL(refusing)}
	expectClockError(t, w.client, relayclient.StageProxy, "proxy_refused")
}

func TestProxySettingThatIsNoURLIsNotQuoted(t *testing.T) {
	c := &relayclient.Client{Namespace: "contoso.servicebus.windows.net", Proxy: func(*http.Request) (*url.URL, error) {
		return nil, errors.New(`invalid proxy address "http://user:hush%zz@proxy.corp.example"`)
	}}
	expectClockError(t, c, relayclient.StageProxy, "proxy_failed")
	if e := dialOnce(t, c); e.Reason() != "proxy_failed" || e.Temporary() || strings.Contains(e.Error(), "hush") {
		t.Errorf("got %s, temporary %t: %v", e.Reason(), e.Temporary(), e)
	}
}

// TestProxyFailuresAreToldApart has everything that a proxy can do wrong, and
// looks for its password in all that is said of it.
func TestProxyFailuresAreToldApart(t *testing.T) {
	cert, ca, err := fakerelay.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	withUser := func(scheme, host string) *url.URL {
		return &url.URL{Scheme: scheme, Host: host, User: url.UserPassword(proxyUser, proxyPassword)}
	}
	refusing := func(status int, phrase string) *url.URL {
		u := startProxy(t, &fakeproxy.Server{Mode: fakeproxy.Refuse, Status: status, Phrase: phrase})
		return withUser(u.Scheme, u.Host)
	}
	asking := startProxy(t, &fakeproxy.Server{User: "somebody", Password: "else"})
	askingWindows := startProxy(t, &fakeproxy.Server{User: "somebody", Password: "else", Challenge: []string{"Negotiate, NTLM", `Digest realm="x", nonce="y"`}})
	askingBoth := startProxy(t, &fakeproxy.Server{User: "somebody", Password: "else", Challenge: []string{"NTLM", `Basic realm="x"`}})
	silent := startProxy(t, &fakeproxy.Server{Mode: fakeproxy.Silent})
	mute := startProxy(t, &fakeproxy.Server{Mode: fakeproxy.Mute})
	hangUp := startProxy(t, &fakeproxy.Server{Mode: fakeproxy.HangUp})
	garbage := startProxy(t, &fakeproxy.Server{Mode: fakeproxy.Garbage})
	secured := startProxy(t, &fakeproxy.Server{Certificate: &cert, Mode: fakeproxy.Refuse, Status: 403})
	echoed := base64.StdEncoding.EncodeToString([]byte(proxyUser + ":" + proxyPassword))

	for _, test := range []struct {
		name      string
		proxy     *url.URL
		reason    string
		status    int
		temporary bool
		says      string // in the error
		facts     string
	}{
		{"nobody there", withUser("http", "127.0.0.1:1"), "proxy_unreachable", 0, true, "connection refused", "user"},
		{"no such name", withUser("http", "proxy.invalid:3128"), "proxy_unreachable", 0, true, "proxy.invalid", "user"},
		{"not trusted", withUser(secured.Scheme, "localhost:"+secured.Port()), "proxy_unreachable", 0, false, "certificate", "untrusted; user"},
		{"TLS to one that speaks none", withUser("https", garbage.Host), "proxy_unreachable", 0, true, "TLS with it", "user"},
		{"plain to one that speaks TLS", withUser("http", secured.Host), "proxy_failed", 0, true, "instead of answering", "user"},
		{"refuses", refusing(403, "Filtered by\x01 policy 7"), "proxy_refused", 403, false, "status 403", "user"},
		{"refuses over TLS", withUser(secured.Scheme, secured.Host), "proxy_refused", 403, false, "status 403", "user"},
		{"does not reach the relay", refusing(502, ""), "proxy_refused", 502, true, "status 502", "user"},
		{"is overloaded", refusing(503, ""), "proxy_refused", 503, true, "status 503", "user"},
		{"waited", refusing(504, ""), "proxy_refused", 504, true, "status 504", "user"},
		{"does not know CONNECT", refusing(405, ""), "proxy_refused", 405, false, "status 405", "user"},
		{"quotes the password", refusing(403, proxyPassword+" is not allowed"), "proxy_refused", 403, false, "status 403", "user"},
		{"quotes the header", refusing(403, echoed+" is not allowed"), "proxy_refused", 403, false, "status 403", "user"},
		{"redirects to a portal", refusing(302, "Found"), "proxy_refused", 302, false, "status 302", "user"},
		{"wants credentials", withoutCredentials(asking), "proxy_unauthorized", 407, false, "status 407", "basic"},
		{"wants others", withUser("http", asking.Host), "proxy_unauthorized", 407, false, "status 407", "user; basic"},
		{"wants what Windows has", withUser("http", askingWindows.Host), "proxy_unauthorized", 407, false, "status 407", "user; negotiate, ntlm, digest"},
		{"answers as a web server does", refusing(401, "Unauthorized"), "proxy_unauthorized", 401, false, "status 401", "user"},
		{"takes Basic as well", withUser("http", askingBoth.Host), "proxy_unauthorized", 407, false, "status 407", "user; ntlm, basic"},
		{"is silent", withUser("http", silent.Host), "proxy_no_answer", 0, true, "no answer in time", "user"},
		{"is silent in TLS", withUser("https", silent.Host), "proxy_no_answer", 0, true, "no answer in time", "user"},
		{"is silent in SOCKS", withUser("socks5", silent.Host), "proxy_no_answer", 0, true, "no answer in time", "user"},
		{"lets nothing through", withUser("http", mute.Host), "proxy_no_answer", 0, true, "nothing came through", "user"},
		{"hangs up", withUser("http", hangUp.Host), "proxy_failed", 0, true, "closed the connection instead of answering", "user"},
		{"is a mail server", withUser("http", garbage.Host), "proxy_failed", 0, false, "not a proxy of this kind", "user; no proxy"},
		{"is no SOCKS proxy", withUser("socks5", garbage.Host), "proxy_failed", 0, false, "not a proxy of this kind", "user; no proxy"},
		{"SOCKS wants credentials", withoutCredentials(socksProxy(t, "\x05\xff")), "proxy_unauthorized", 0, false, "authentication", ""},
		{"SOCKS wants others", withUser("socks5", socksProxy(t, "\x05\x02", "\x01\x01").Host), "proxy_unauthorized", 0, false, "authentication failed", "user"},
		{"SOCKS cannot take so long a name", &url.URL{Scheme: "socks5", Host: socksProxy(t, "\x05\x02").Host, User: url.User(strings.Repeat("a", 256))}, "proxy_unauthorized", 0, false, "invalid username/password", "user"},
		{"SOCKS forbids", socksProxy(t, "\x05\x00", "\x05\x02\x00\x01"), "proxy_refused", 0, false, "not allowed by ruleset", ""},
		{"SOCKS does not reach the relay", socksProxy(t, "\x05\x00", "\x05\x04\x00\x01"), "proxy_refused", 0, true, "host unreachable", ""},
		{"SOCKS hangs up", socksProxy(t, "\x05\x00"), "proxy_failed", 0, true, "closed the connection instead of answering", ""},
		{"another scheme", withUser("ftp", "127.0.0.1:1"), "proxy_unreachable", 0, true, "refused", "user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c := &relayclient.Client{Namespace: "contoso.servicebus.windows.net", RootCAs: roots, Proxy: http.ProxyURL(test.proxy), Logger: log}
			if strings.HasPrefix(test.name, "not trusted") {
				c.RootCAs = x509.NewCertPool()
			}
			if test.reason == "proxy_no_answer" {
				c.SetAttemptTimeout(200 * time.Millisecond)
			}
			e := dialOnce(t, c)
			if e.Stage != relayclient.StageProxy || e.Reason() != test.reason || e.Status != test.status || e.Temporary() != test.temporary || e.Proxy != test.proxy.Host {
				t.Errorf("got stage %s, %s, status %d, temporary %t, proxy %s; want stage proxy, %s, %d, %t, %s",
					e.Stage, e.Reason(), e.Status, e.Temporary(), e.Proxy, test.reason, test.status, test.temporary, test.proxy.Host)
			}
			if !strings.Contains(e.Error(), test.says) || proxyFacts(e) != test.facts {
				t.Errorf("got %q, facts %q; want %q and %q", e.Error(), proxyFacts(e), test.says, test.facts)
			}
			if strings.Contains(strings.TrimPrefix(e.Error(), "relayclient: "), "relayclient:") || strings.ContainsAny(e.Phrase, "\x01\r\n") {
				t.Errorf("not for people: %q, phrase %q", e.Error(), e.Phrase)
			}
			fmt.Fprintf(&out, "%v %+v %#v %q %+v", e, e, e, e.Phrase, c)
			log.LogAttrs(t.Context(), slog.LevelInfo, "x", append(e.LogAttrs(), slog.Any("error", e))...)
			if _, err := c.Clock(t.Context()); err != nil {
				fmt.Fprintf(&out, "%+v", err)
			}
			for _, secret := range []string{proxyPassword, url.QueryEscape(proxyPassword), url.PathEscape(proxyPassword), url.UserPassword("", proxyPassword).String()[1:], echoed, proxyUser} {
				if strings.Contains(out.String(), secret) {
					t.Errorf("%q is shown in\n%s", secret, out.String())
				}
			}
		})
	}
}

// proxyFacts are what a failure at a proxy tells beside its reason.
func proxyFacts(e *relayclient.DialError) string {
	var facts []string
	if e.Untrusted() {
		facts = append(facts, "untrusted")
	}
	if e.ProxyCredentials {
		facts = append(facts, "user")
	}
	if len(e.ProxySchemes) > 0 {
		facts = append(facts, strings.Join(e.ProxySchemes, ", "))
	}
	if errors.Is(e, relayclient.ErrNotProxy) {
		facts = append(facts, "no proxy")
	}
	return strings.Join(facts, "; ")
}

// socksProxy says each answer after it has read something, and hangs up.
func socksProxy(t *testing.T, answers ...string) *url.URL {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			for _, answer := range answers {
				conn.Read(make([]byte, 512))
				io.WriteString(conn, answer)
			}
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return &url.URL{Scheme: "socks5", Host: ln.Addr().String()}
}

// TestDialThatEndsLeavesTheProxy: whoever gives up at a proxy that stalls takes
// the connection to it along.
func TestDialThatEndsLeavesTheProxy(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken, left := make(chan struct{}), make(chan struct{})
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				close(taken)
				return
			}
			taken <- struct{}{}
			io.Copy(io.Discard, conn)
			conn.Close()
			left <- struct{}{}
		}
	}()
	defer func() { ln.Close(); <-taken }()
	for _, scheme := range []string{"http", "https", "socks5"} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		c := &relayclient.Client{Namespace: "contoso.servicebus.windows.net", Proxy: http.ProxyURL(&url.URL{Scheme: scheme, Host: ln.Addr().String()})}
		go func() {
			_, err := c.Dial(ctx, (&world{}).request())
			ended <- err
		}()
		<-taken
		cancel()
		<-left
		if e, ok := errors.AsType[*relayclient.DialError](<-ended); !ok || e.Reason() != "cancelled" {
			t.Errorf("%s: got %v, want cancelled", scheme, e)
		}
	}
}

// TestFullProcessIsNotTheProxys: too many open files are nobody's fault but ours.
func TestFullProcessIsNotTheProxys(t *testing.T) {
	e := &relayclient.DialError{Stage: relayclient.StageProxy, Proxy: "proxy.corp.example:3128",
		Err: fmt.Errorf("%w: %w", relayclient.ErrProxyUnreachable, syscall.EMFILE)}
	if e.Reason() != "too_many_files" {
		t.Errorf("got %s", e.Reason())
	}
}

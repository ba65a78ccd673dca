package check_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/relayclient"
)

var sql01 = endpoint("sql01.corp.example", 1433)

func endpoint(host string, port uint16) check.Endpoint {
	return check.Endpoint{
		Name: fmt.Sprintf("%s:%d", host, port), Host: host,
		Address:   netip.AddrPortFrom(netip.MustParseAddr("127.77.1.2"), port),
		Arrive:    netip.AddrPortFrom(netip.MustParseAddr("127.77.1.2"), port),
		Namespace: "contoso.servicebus.windows.net", Entity: "sql01-hc", Credential: "key defaultSender",
	}
}

// checkTarget is what lies behind a tunnel; it gets the far end and closes it.
type target func(conn net.Conn)

// sound is a Checker of a machine where all is well up to target.
func sound(endpoint check.Endpoint, behind target) *check.Checker {
	return &check.Checker{
		Endpoints: []check.Endpoint{endpoint},
		Self: func(context.Context, string) check.Named {
			return check.Named{Server: "127.0.0.1:53", Sidecar: "hyco-sidecar v1", Addrs: []netip.Addr{endpoint.Address.Addr()}}
		},
		Resolve: func(context.Context, string) check.Named {
			return check.Named{Server: "127.0.0.1:53", Sidecar: "hyco-sidecar v1", Addrs: []netip.Addr{endpoint.Address.Addr()}}
		},
		Holder: func(addr netip.AddrPort) (netip.Addr, bool) { return addr.Addr(), true },
		Dial: func(context.Context, check.Endpoint, string) (net.Conn, relayclient.Attempt, error) {
			near, far := net.Pipe()
			go behind(far)
			return near, relayclient.Attempt{Resolve: 2 * time.Millisecond, Connect: 10 * time.Millisecond, TLS: 20 * time.Millisecond, Upgrade: 30 * time.Millisecond}, nil
		},
	}
}

// failing is a Checker whose attempts end with err.
func failing(err *relayclient.DialError) *check.Checker {
	c := sound(sql01, nil)
	c.Dial = func(context.Context, check.Endpoint, string) (net.Conn, relayclient.Attempt, error) {
		return nil, relayclient.Attempt{Err: err}, err
	}
	return c
}

// run checks the only endpoint.
func run(t *testing.T, c *check.Checker) check.Result {
	t.Helper()
	report := c.Run(t.Context(), []string{c.Endpoints[0].Name})
	if len(report.Endpoints) != 1 || len(report.Endpoints[0].Stages) != len(check.Stages) {
		t.Fatalf("got %+v, want one endpoint with every stage", report)
	}
	return report.Endpoints[0]
}

func step(r check.Result, s check.Stage) check.Step {
	for _, step := range r.Stages {
		if step.Stage == s {
			return step
		}
	}
	return check.Step{}
}

func expect(t *testing.T, r check.Result, s check.Stage, v check.Verdict, says string) {
	t.Helper()
	got := step(r, s)
	if r.Verdict != v || r.ExitCode != v.ExitCode() || v != check.Healthy && got.Verdict != v || !strings.Contains(got.Saw, says) {
		t.Errorf("got %s (%d), and of stage %q: %+v; want %s and %q", r.Verdict, r.ExitCode, s, got, v, says)
	}
}

// talk is a target that reads a question, if it is given one to wait for, says
// answer and stays.
func talk(question bool, answer string) target {
	return func(conn net.Conn) {
		defer conn.Close()
		if question {
			conn.Read(make([]byte, 4096))
		}
		io.WriteString(conn, answer)
		io.Copy(io.Discard, conn)
	}
}

func TestTargetIsKnownByWhatItSays(t *testing.T) {
	const version = "\x04\x01\x00\x2b\x00\x00\x01\x00" + "\x00\x00\x1a\x00\x06" + "\x01\x00\x20\x00\x01" + "\x02\x00\x21\x00\x01" + "\x03\x00\x22\x00\x00" + "\x04\x00\x22\x00\x01" + "\xff" +
		"\x10\x00\x03\xe8\x00\x00" + "\x00\x00\x00"
	for _, test := range []struct {
		port   uint16
		probe  check.Probe
		answer string
		says   string
	}{
		{1433, check.Auto, version, "SQL Server 16.0.1000 answers"},
		{1433, check.Auto, "\x04\x01", "answers, though not to SQL Server's PRELOGIN"},
		{1433, check.HTTP, "HTTP/1.1 400 Bad Request\r\n\r\n", `answers "HTTP/1.1 400 Bad Request"`},
		{5432, check.Auto, "S", "PostgreSQL answers, and offers TLS"},
		{5432, check.Auto, "N", "PostgreSQL answers, without TLS"},
		{15432, check.Postgres, "Efatal", "PostgreSQL answers with an error"},
		{80, check.Auto, "\x1b[31mred\r\n", `answers, though not to an HTTP request: ".[31mred"`},
		{443, check.Auto, "HTTP/1.1 400 Bad Request\r\n\r\n", "answers, though not as TLS does"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := sound(endpoint("sql01.corp.example", test.port), talk(true, test.answer))
			c.Probe = test.probe
			expect(t, run(t, c), check.Target, check.Healthy, test.says)
		})
	}
}

func TestTargetMaySpeakFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sound(endpoint("mail.corp.example", 25), func(conn net.Conn) {
			time.Sleep(8 * time.Second)
			talk(false, "220 mail.corp.example\r\n")(conn)
		})
		expect(t, run(t, c), check.Target, check.Healthy, `says "220 mail.corp.example"`)
		expect(t, run(t, sound(sql01, talk(false, "SSH-2.0-OpenSSH_9.2\r\n"))), check.Target, check.Healthy, `says "SSH-2.0-OpenSSH_9.2"`)
		c = sound(sql01, talk(false, "SSH-2.0-OpenSSH_9.2\r\n"))
		c.TLS = true
		expect(t, run(t, c), check.Target, check.TargetTLSFailed, "speaks first")
	})
}

func TestTunnelThatEndsWithoutAByteIsATargetThatIsNotReached(t *testing.T) {
	for after, notes := range map[time.Duration]int{0: 0, 500 * time.Millisecond: 0, 2 * time.Second: 0, 21 * time.Second: 1} {
		for _, probe := range []check.Probe{check.HTTP, check.TLS, check.Postgres, check.MSSQL} {
			synctest.Test(t, func(t *testing.T) {
				c := sound(sql01, func(conn net.Conn) {
					go io.Copy(io.Discard, conn)
					time.Sleep(after)
					conn.Close()
				})
				c.Probe = probe
				r := run(t, c)
				expect(t, r, check.Target, check.TargetUnreachable, "the Hybrid Connection Manager probably cannot reach sql01.corp.example:1433")
				if got := step(r, check.Target); len(got.Notes) != notes || !strings.Contains(got.Next, "Test-NetConnection sql01.corp.example -Port 1433") {
					t.Errorf("%s after %v: got %+v, want %d notes", probe, after, got, notes)
				}
			})
		}
	}
}

func TestSilenceIsInconclusive(t *testing.T) {
	for _, probe := range []check.Probe{check.HTTP, check.TLS, check.Banner, check.Postgres} {
		synctest.Test(t, func(t *testing.T) {
			c := sound(sql01, talk(false, ""))
			c.Probe = probe
			began := time.Now()
			expect(t, run(t, c), check.Target, check.TargetSilent, "without a byte")
			if took := time.Since(began); took < 25*time.Second || took > 27*time.Second {
				t.Errorf("%s: given up after %v", probe, took)
			}
		})
	}
}

func TestTotalTimeOutEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		r := sound(sql01, talk(false, "")).Run(ctx, []string{sql01.Name})
		expect(t, r.Endpoints[0], check.Target, check.TargetSilent, "open for 5s")
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestEndpointsThatWereNotComeToAreUnfinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := sound(sql01, talk(false, ""))
		resolve := c.Resolve
		c.Resolve = func(ctx context.Context, host string) check.Named {
			if ctx.Err() != nil {
				return check.Named{Err: ctx.Err(), AddrErr: ctx.Err()}
			}
			return resolve(ctx, host)
		}
		dial := c.Dial
		c.Dial = func(ctx context.Context, e check.Endpoint, id string) (net.Conn, relayclient.Attempt, error) {
			if ctx.Err() != nil {
				err := &relayclient.DialError{Stage: relayclient.StageResolve, Err: relayclient.ErrAttemptTimeout}
				return nil, relayclient.Attempt{Err: err}, err
			}
			return dial(ctx, e, id)
		}
		counts := make(map[check.Verdict]int)
		report := c.Run(ctx, slices.Repeat([]string{sql01.Name}, 20))
		for _, r := range report.Endpoints {
			counts[r.Verdict]++
		}
		if counts[check.TargetSilent] != 8 || counts[check.Unfinished] != 12 || report.Endpoints[19].ExitCode != 1 {
			t.Errorf("got %v, want 8 that were silent and 12 that were not come to", counts)
		}
	})
}

func TestProgressIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := check.Progress{Out: &out}
		p.Start()
		p.At("sql01.corp.example:1433", check.Target)
		time.Sleep(2100 * time.Millisecond)
		p.Clear(func() { out.WriteString("printed\n") })
		p.Stop()
		if got := out.String(); !strings.HasSuffix(got, "\r\x1b[Ksql01.corp.example:1433: waiting for the target … 2 s\r\x1b[Kprinted\n") {
			t.Errorf("got %q", got)
		}
		var none check.Progress
		none.Start()
		none.At("sql01.corp.example:1433", check.Target)
		none.Stop()
	})
}

func TestEveryReasonOfAFailedDialIsAVerdict(t *testing.T) {
	at := func(s relayclient.Stage, status int, err error) *relayclient.DialError {
		return &relayclient.DialError{Entity: "sql01-hc", Host: "contoso.servicebus.windows.net:443", Stage: s, Status: status, Err: err}
	}
	upgrade := relayclient.StageUpgrade
	for _, test := range []struct {
		err     *relayclient.DialError
		verdict check.Verdict
		code    int
		stage   check.Stage
		passed  []check.Stage
	}{
		{at(relayclient.StageToken, 0, errors.New("no identity")), check.TokenFailed, 75, check.Token, nil},
		{at(relayclient.StageResolve, 0, errors.New("no such host")), check.RelayNameUnknown, 40, check.RelayName, nil},
		{at(relayclient.StageConnect, 0, syscall.ECONNREFUSED), check.RelayUnreachable, 50, check.RelayPort, []check.Stage{check.RelayName}},
		{at(relayclient.StageConnect, 0, syscall.EMFILE), check.TooManyFiles, 1, check.RelayPort, []check.Stage{check.RelayName}},
		{at(relayclient.StageProxy, 0, io.EOF), check.ProxyFailed, 51, check.RelayPort, []check.Stage{check.RelayName}},
		{at(relayclient.StageProxy, 0, relayclient.ErrProxyUnreachable), check.ProxyUnreachable, 52, check.RelayPort, []check.Stage{check.RelayName}},
		{at(relayclient.StageProxy, 403, relayclient.ErrProxyRefused), check.ProxyRefused, 53, check.RelayPort, []check.Stage{check.RelayName}},
		{at(relayclient.StageProxy, 407, relayclient.ErrProxyUnauthorized), check.ProxyUnauthorized, 54, check.RelayPort, []check.Stage{check.RelayName}},
		{at(relayclient.StageProxy, 0, relayclient.ErrProxyNoAnswer), check.ProxyNoAnswer, 55, check.RelayPort, []check.Stage{check.RelayName}},
		{at(relayclient.StageTLS, 0, io.EOF), check.TLSFailed, 61, check.RelayTLS, []check.Stage{check.RelayName, check.RelayPort}},
		{at(upgrade, 401, relayclient.ErrUnauthorized), check.Unauthorized, 70, check.Token, []check.Stage{check.RelayName, check.RelayPort, check.RelayTLS}},
		{at(upgrade, 401, relayclient.ErrAddressBlocked), check.AddressBlocked, 74, check.Token, []check.Stage{check.RelayName, check.RelayPort, check.RelayTLS}},
		{at(upgrade, 404, relayclient.ErrUnknownEntity), check.UnknownEntity, 80, check.Listener, []check.Stage{check.Token}},
		{at(upgrade, 404, relayclient.ErrNoListener), check.NoListener, 81, check.Listener, []check.Stage{check.Token}},
		{at(upgrade, 400, relayclient.ErrListenerRejected), check.ListenerRejected, 82, check.Listener, []check.Stage{check.Token}},
		{at(upgrade, 504, relayclient.ErrNotAccepted), check.NotAccepted, 83, check.Listener, []check.Stage{check.Token}},
		{at(upgrade, 503, relayclient.ErrUnavailable), check.RelayUnavailable, 84, check.Listener, []check.Stage{check.RelayTLS}},
		{at(upgrade, 200, relayclient.ErrNotRelay), check.NotARelay, 85, check.Listener, []check.Stage{check.RelayTLS}},
		{at(upgrade, 0, io.EOF), check.NoAnswer, 86, check.Listener, []check.Stage{check.RelayTLS}},
	} {
		c := failing(test.err)
		c.Clock = func(context.Context, check.Endpoint) (time.Duration, error) { return 0, nil }
		r := run(t, c)
		expect(t, r, test.stage, test.verdict, "")
		if r.ExitCode != test.code {
			t.Errorf("%s: exit code %d, want %d", test.verdict, r.ExitCode, test.code)
		}
		for _, s := range test.passed {
			if got := step(r, s); got.Outcome != check.OK {
				t.Errorf("%s: %q is %s, want ok", test.verdict, s, got.Outcome)
			}
		}
		if got := step(r, check.Token); got.Outcome == check.OK && test.code > 83 {
			t.Errorf("%s: the token passes for accepted", test.verdict)
		}
		if got := step(r, test.stage); got.Next == "" || got.See != "docs/troubleshooting.md#"+string(test.verdict) {
			t.Errorf("%s: next %q, see %q", test.verdict, got.Next, got.See)
		}
	}
}

func TestAttemptWithoutAnAnswerIsMadeAgain(t *testing.T) {
	timeout := &relayclient.DialError{Stage: relayclient.StageUpgrade, Err: relayclient.ErrAttemptTimeout}
	for _, test := range []struct {
		name    string
		answers int   // of the relay, after so many attempts
		clock   error // of an ordinary request
		verdict check.Verdict
	}{
		{"the second is answered", 1, nil, check.Healthy},
		{"the relay waits for its listener", 9, nil, check.NotAccepted},
		{"the relay is silent", 9, io.EOF, check.NoAnswer},
	} {
		c := sound(sql01, talk(false, "hello"))
		dial, attempts := c.Dial, 0
		c.Dial = func(ctx context.Context, e check.Endpoint, id string) (net.Conn, relayclient.Attempt, error) {
			if attempts++; attempts <= test.answers {
				return nil, relayclient.Attempt{Err: timeout}, timeout
			}
			return dial(ctx, e, id)
		}
		c.Clock = func(context.Context, check.Endpoint) (time.Duration, error) { return 0, test.clock }
		if r := run(t, c); r.Verdict != test.verdict || attempts != 2 {
			t.Errorf("%s: got %s after %d attempts, want %s after 2", test.name, r.Verdict, attempts, test.verdict)
		}
	}
}

func TestWalkGoesOnWhereNamesDoNotReachTheSidecar(t *testing.T) {
	notFound := &net.DNSError{Err: "no such host", IsNotFound: true}
	elsewhere := func(c *check.Checker) {
		c.Resolve = func(context.Context, string) check.Named {
			return check.Named{Server: "10.0.0.10:53", Err: notFound, AddrErr: notFound}
		}
	}
	for _, test := range []struct {
		name    string
		change  func(*check.Checker)
		stage   check.Stage
		verdict check.Verdict
		says    string
	}{
		{"another resolver", elsewhere, check.Resolver, check.DNSNotReaching, "10.0.0.10:53 answers, and is not this sidecar"},
		{"the sidecar's own container", func(c *check.Checker) { elsewhere(c); c.OwnContainer = true }, check.Resolver, check.Healthy, "the sidecar answers at 127.0.0.1:53"},
		{"a hosts file", func(c *check.Checker) {
			c.Resolve = func(context.Context, string) check.Named {
				return check.Named{Err: notFound, Addrs: []netip.Addr{sql01.Address.Addr()}}
			}
		}, check.Resolver, check.Healthy, "from a hosts file"},
		{"a hosts file with another address", func(c *check.Checker) {
			c.Resolve = func(context.Context, string) check.Named {
				return check.Named{Server: "127.0.0.1:53", Sidecar: "hyco-sidecar v1", Addrs: []netip.Addr{netip.MustParseAddr("127.77.1.2"), netip.IPv6Loopback()}}
			}
		}, check.Resolver, check.DNSWrongAddress, "a hosts file or a cache gives 127.77.1.2, ::1"},
		{"a port that resolv.conf cannot name", func(c *check.Checker) { elsewhere(c); c.OtherPort = 5353 }, check.Resolver, check.Healthy, "the sidecar answers at 127.0.0.1:53"},
		{"nobody where resolv.conf points", func(c *check.Checker) {
			c.Ours = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
			c.Self = func(context.Context, string) check.Named {
				return check.Named{Err: &net.DNSError{Err: "connection refused"}}
			}
			c.Holder = func(netip.AddrPort) (netip.Addr, bool) { return netip.Addr{}, false }
		}, check.Resolver, check.DNSNotReaching, "nobody answers there: connection refused"},
		{"another sidecar's address", func(c *check.Checker) {
			c.Resolve = func(context.Context, string) check.Named {
				return check.Named{Server: "127.0.0.1:53", Sidecar: "hyco-sidecar v1", Addrs: []netip.Addr{netip.MustParseAddr("127.77.9.9")}}
			}
			c.Self = c.Resolve
		}, check.Resolver, check.DNSWrongAddress, "127.77.9.9"},
		{"nobody accepts", func(c *check.Checker) {
			c.Holder = func(netip.AddrPort) (netip.Addr, bool) { return netip.Addr{}, false }
		}, check.Socket, check.ListenerNotBound, "nobody accepts at 127.77.1.2:1433"},
		{"another holds the port", func(c *check.Checker) {
			c.Holder = func(netip.AddrPort) (netip.Addr, bool) { return netip.IPv4Unspecified(), true }
		}, check.Socket, check.ListenerNotBound, "port 1433 of every address"},
		{"a system that does not tell", func(c *check.Checker) { c.Holder = nil }, check.Socket, check.Healthy, "does not tell"},
		{"no sidecar", func(c *check.Checker) {
			c.Self = func(context.Context, string) check.Named { return check.Named{Err: notFound} }
			c.Holder = func(netip.AddrPort) (netip.Addr, bool) { return netip.Addr{}, false }
		}, check.Resolver, check.Healthy, "no sidecar runs here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := sound(sql01, talk(false, "hello"))
			test.change(c)
			r := run(t, c)
			expect(t, r, test.stage, test.verdict, test.says)
			if got := step(r, check.Target); got.Outcome != check.OK {
				t.Errorf("the target: %+v, want ok", got)
			}
		})
	}
}

func TestProxyIsPartOfTheWay(t *testing.T) {
	e := sql01
	e.Proxy = "proxy.corp.example:3128"
	r := run(t, sound(e, talk(false, "hello")))
	expect(t, r, check.RelayPort, check.Healthy, "through the proxy proxy.corp.example:3128")
	expect(t, r, check.RelayName, check.Healthy, "the proxy looks it up")
}

func TestManyEndpointsAreToldInTheirOrder(t *testing.T) {
	c := sound(sql01, talk(false, "hello"))
	c.Endpoints = nil
	var names []string
	for i := range 100 {
		e := endpoint(fmt.Sprintf("server%d.corp.example", i), 80)
		c.Endpoints = append(c.Endpoints, e)
		names = append(names, e.Name)
	}
	names[57] = "nobody.corp.example:80"
	c.Probe = check.None
	var told []string
	c.Walked = func(r check.Result) { told = append(told, r.Endpoint) }
	report := c.Run(t.Context(), names)
	if strings.Join(told, " ") != strings.Join(names, " ") {
		t.Errorf("told of %v", told)
	}
	if report.Verdict != check.NameNotConfigured {
		t.Errorf("got %s, want that of the first that is not healthy", report.Verdict)
	}
	if got := report.Endpoints[57]; got.Verdict != check.NameNotConfigured || got.ExitCode != 2 || !strings.Contains(got.Stages[0].Next, "server4.corp.example:80, and 95 more") {
		t.Errorf("an endpoint that is not configured: %+v", got)
	}
}

func TestTableIsForPeople(t *testing.T) {
	c := failing(&relayclient.DialError{Entity: "sql01-hc", Stage: relayclient.StageUpgrade, Status: 404,
		Phrase:     "There are no listeners connected for the endpoint. TrackingId:5b8f_G0, SystemTracker:sb://contoso.servicebus.windows.net/sql01-hc",
		TrackingID: "5b8f_G0", Err: relayclient.ErrNoListener})
	r := run(t, c)
	for i := range r.Stages {
		r.Stages[i].Seconds = []float64{0, 0.0004, 0, 0.012, 0, 0, 0, 1.26, 0}[i]
	}
	var out bytes.Buffer
	table := check.Table{Out: &out}
	table.Print(r)
	table.Sum(check.Report{Verdict: check.NoListener, ExitCode: 81, Endpoints: []check.Result{r, {Verdict: check.Healthy}}})
	const want = `sql01.corp.example:1433
  configuration  ok                 sql01-hc of contoso.servicebus.windows.net, credential: key defaultSender
  resolver       ok          <1 ms  127.0.0.1:53 answers 127.77.1.2
  socket         ok                 accepts at 127.77.1.2:1433
  relay name     ok          12 ms  contoso.servicebus.windows.net
  relay port     ok                 connected
  relay TLS      ok                 the certificate is trusted
  token          ok                 accepted
  listener       FAIL        1.3 s  404 There are no listeners connected for the endpoint
                                    next: start a Hybrid Connection Manager for "sql01-hc", or restart it if the portal shows it as connected
                                    tracking id: 5b8f_G0
                                    see: docs/troubleshooting.md#no_listener
  target         skipped            an earlier stage failed
  no_listener (exit code 81)

1 of 2 endpoints healthy; exit code 81: no_listener
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	out.Reset()
	table.Colour = true
	table.Print(r)
	if !strings.Contains(out.String(), "\x1b[31mFAIL   \x1b[0m") {
		t.Errorf("no colour in %q", out.String())
	}
}

func TestExitCodesAreDistinct(t *testing.T) {
	seen := make(map[int]check.Verdict)
	for _, v := range check.Verdicts() {
		if before, twice := seen[v.ExitCode()]; twice && v.ExitCode() != 1 || v.ExitCode() == 2 && v != check.NameNotConfigured || v.ExitCode() > 125 {
			t.Errorf("%s and %s exit with %d", before, v, v.ExitCode())
		}
		seen[v.ExitCode()] = v
	}
}

func TestNamesAreComparedAsDNSDoes(t *testing.T) {
	for text, want := range map[string]string{
		"SQL01.Corp.Example.:1433": "sql01.corp.example:1433",
		"sql01:01433":              "sql01:1433",
		"sql01.corp.example":       "", "sql01:": "", ":1433": "", "sql01:0": "", "sql01:65536": "", "": "",
	} {
		if got, ok := check.Normal(text); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", text, got, ok, want)
		}
	}
}

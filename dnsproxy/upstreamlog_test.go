package dnsproxy_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
)

// The second upstream answers at once, so that no query of an application ever
// tells that the first is gone for good.
func TestUpstreamThatBecomesABlackHoleIsInTheLogOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged := &logBuffer{lines: make(chan bool, 100)}
		one, two := &memoryUpstream{handle: replying(record(t))}, &memoryUpstream{handle: replying(record(t))}
		c := serveInMemory(t, &dnsproxy.Server{Logger: slog.New(slog.NewTextHandler(logged, nil)), CacheSize: -1}, one, two)
		ask := func() {
			for range 100 {
				if got := c.ask(question(host, dns.TypeA)); len(got.Answer) != 1 {
					t.Errorf("got %v", got)
				}
				time.Sleep(time.Second)
			}
		}
		expect := func(gone, back int) {
			t.Helper()
			text := logged.String()
			if n := strings.Count(text, `msg="DNS upstream does not answer" upstream=192.0.2.1:53 `); n != gone {
				t.Errorf("%d lines say that the first does not answer, want %d:\n%s", n, gone, text)
			}
			if n := strings.Count(text, `msg="DNS upstream answers again" upstream=192.0.2.1:53`); n != back {
				t.Errorf("%d lines say that the first answers again, want %d:\n%s", n, back, text)
			}
			if strings.Contains(text, "192.0.2.2:53") {
				t.Errorf("the second is in the log:\n%s", text)
			}
		}
		ask()
		expect(0, 0)
		one.set(silent)
		ask()
		expect(1, 0)
		one.set(replying(record(t)))
		ask()
		expect(1, 1)
	})
}

func TestUpstreamThatIsWellIsNotInTheLog(t *testing.T) {
	for _, test := range []struct {
		name   string
		handle memoryHandler
	}{
		{"one name takes long", func(_ string, q *dns.Msg) []byte {
			if strings.HasPrefix(q.Question[0].Name, "odd.") {
				time.Sleep(10 * time.Second)
			}
			return packed(replyTo(q, dns.RcodeSuccess))
		}},
		{"a reply is truncated and TCP is filtered", func(network string, q *dns.Msg) []byte {
			if network == "tcp" {
				return nil
			}
			m := replyTo(q, dns.RcodeSuccess)
			m.Truncated = strings.HasPrefix(q.Question[0].Name, "odd.")
			return packed(m)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logged := &logBuffer{lines: make(chan bool, 100)}
				up := &memoryUpstream{handle: test.handle}
				c := serveInMemory(t, &dnsproxy.Server{Logger: slog.New(slog.NewTextHandler(logged, nil)), CacheSize: -1}, up)
				for range 5 {
					if got := c.ask(question(host, dns.TypeA)); got.Rcode != dns.RcodeSuccess {
						t.Errorf("got %v", got)
					}
					time.Sleep(time.Second)
					if got := c.askTCP(question("odd.contoso.com", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
						t.Errorf("got %v", got)
					}
					time.Sleep(10 * time.Second)
				}
				if text := logged.String(); strings.Contains(text, "DNS upstream") {
					t.Errorf("the log says\n%s", text)
				}
			})
		})
	}
}

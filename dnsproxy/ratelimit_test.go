package dnsproxy_test

import (
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/memnet"
)

// An upstream that comes and goes every ten seconds would fill the log with that.
func TestUpstreamThatComesAndGoesIsToldOfOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged := &logBuffer{lines: make(chan bool, 100)}
		up := &memoryUpstream{handle: replying(record(t))}
		c := serveInMemory(t, &dnsproxy.Server{Logger: slog.New(slog.NewTextHandler(logged, nil)), CacheSize: -1}, up)
		began := time.Now()
		for range 60 {
			up.set(silent)
			c.ask(question(host, dns.TypeA))
			time.Sleep(10 * time.Second)
			up.set(replying(record(t)))
			time.Sleep(10 * time.Second)
		}
		minutes := int(time.Since(began) / time.Minute)
		for _, msg := range []string{"DNS upstream does not answer", "DNS upstream answers again"} {
			if n := strings.Count(logged.String(), msg); n < minutes/2 || n > minutes+1 {
				t.Errorf("%q is in the log %d times in %d minutes", msg, n, minutes)
			}
		}
	})
}

// exhausted is a listener in a process without descriptors.
type exhausted struct{ *memnet.Listener }

func (exhausted) Accept() (net.Conn, error) { return nil, syscall.EMFILE }

func TestConnectionsThatCannotBeAcceptedAreToldOfOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged := &logBuffer{lines: make(chan bool, 100)}
		s := &dnsproxy.Server{Logger: slog.New(slog.NewTextHandler(logged, nil))}
		done := make(chan error, 1)
		ctx := t.Context()
		go func() { done <- s.Serve(ctx, nil, []net.Listener{exhausted{memnet.Listen()}}) }()
		time.Sleep(10*time.Minute + time.Second)
		if n := strings.Count(logged.String(), "DNS accept failed, retrying"); n < 10 || n > 11 {
			t.Errorf("it is in the log %d times in ten minutes", n)
		}
	})
}

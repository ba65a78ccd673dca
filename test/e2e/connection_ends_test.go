//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// TestEndsArrive shows how a connection's end looks to the app and to the
// private server, with listeners that keep half-closes and with HCM, which
// does not.
func TestEndsArrive(t *testing.T) {
	world.Needs(t)
	const size = 1 << 20
	w := world.New(t)
	w.Serve(t, w.Site, "late", "127.0.0.2:10080", fmt.Sprint(size))
	halfCloser := w.Serve(t, w.Site, "half-close", "127.0.0.2:10081")
	greeter := w.Serve(t, w.Site, "half-close", "127.0.0.2:10082", "hello")
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	hcm := w.Relay(t, world.Contoso, "-personality", "hcm",
		"late-hc=late.corp.example:80@127.0.0.2:10080",
		"echo-hc=echo.corp.example:7@127.0.0.2:10007",
		"refused-hc=refused.corp.example:80@127.0.0.2:10079") // nobody listens there
	ideal := w.Relay(t, world.Fabrikam, "-personality", "halfclose",
		"late-hc=late.fabrikam.example:80@127.0.0.2:10080",
		"half-hc=half.fabrikam.example:81@127.0.0.2:10081",
		"greet-hc=greet.fabrikam.example:82@127.0.0.2:10082",
		"echo-hc=echo.fabrikam.example:7@127.0.0.2:10007")
	settings := w.Settings(t, append(hcm.Connections, ideal.Connections...), hcm.CAFile, ideal.CAFile)
	// Longer than the late server thinks.
	sidecar := w.Sidecar(t, append(settings, "HYCO_LINGER=3s")...)

	// HCM keeps the server's end back until the sender has closed, which nc -N
	// does first.
	for _, host := range []string{"late.corp.example", "late.fabrikam.example"} {
		t.Run("HalfClosedClientGetsTheWholeAnswer/"+host, func(t *testing.T) {
			world.Needs(t, "nc.openbsd")
			got := w.MustRun(t, w.App, world.Command{Stdin: strings.NewReader("GET / HTTP/1.0\r\n\r\n")}, "nc.openbsd", "-N", host, "80")
			body, ok := strings.CutPrefix(got, "HTTP/1.0 200 OK\r\n\r\n")
			if !ok || role.Sum([]byte(body)) != role.PatternSum(0, size) {
				t.Errorf("got %d bytes, want all %d", len(body), size)
			}
			if got := sidecar.AwaitClosed(t, host+":80", 1); got.Cause != "closed" || got.Down < size {
				t.Errorf("logged: %s", got.Line)
			}
		})
	}

	for _, server := range []struct {
		endpoint, greeting string
		process            *world.Process
	}{{"half.fabrikam.example:81", "", halfCloser}, {"greet.fabrikam.example:82", "hello", greeter}} {
		t.Run("ServerThatHalfClosesAtOnceStillReceives/"+server.endpoint, func(t *testing.T) {
			const size = 10 << 20
			c := w.Client(t, server.endpoint)
			c.MustDo(t, "readall", fmt.Sprintf("EOF %d %s", len(server.greeting), role.Sum([]byte(server.greeting))))
			want := fmt.Sprintf("%d %s", size, role.PatternSum(0, size))
			c.MustDo(t, fmt.Sprint("send ", size), "sent "+want)
			c.MustDo(t, "closewrite", "ok")
			server.process.AwaitText(t, "received "+want)
			if got := sidecar.AwaitClosed(t, server.endpoint, 1); got.Cause != "closed" || got.Up != size {
				t.Errorf("logged: %s", got.Line)
			}
		})
	}

	// The server never learns from HCM that the app has half-closed, so neither
	// side would ever end.
	t.Run("SilenceAfterAnEndIsBounded", func(t *testing.T) {
		c := w.Client(t, "echo.corp.example:7")
		c.MustDo(t, "write hello", "ok")
		c.MustDo(t, "line", "hello")
		c.MustDo(t, "closewrite", "ok")
		c.MustDo(t, "readall", "ECONNRESET after 0 bytes")
		if got := sidecar.AwaitClosed(t, "echo.corp.example:7", 1); got.Cause != "lingered" {
			t.Errorf("logged: %s", got.Line)
		}
	})

	t.Run("UnreachableTargetIsAReset", func(t *testing.T) {
		if got := w.Attempt(t, "refused.corp.example:80").Answer(t, world.Patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("the app saw %q, want a reset", got)
		}
		got := sidecar.AwaitClosed(t, "refused.corp.example:80", 1)
		if got.Cause != "target_unreachable_suspected" || got.Next == "" {
			t.Errorf("logged: %s", got.Line)
		}
	})

	t.Run("ResetOfTheAppIsNoEnd", func(t *testing.T) {
		c := w.Client(t, "echo.fabrikam.example:7")
		c.MustDo(t, "write hello", "ok")
		c.MustDo(t, "line", "hello")
		c.MustDo(t, "reset", "ok")
		if got := sidecar.AwaitClosed(t, "echo.fabrikam.example:7", 1); got.Cause != "app_reset" {
			t.Errorf("logged: %s", got.Line)
		}
	})
}

// TestDeadRelayIsAReset kills relay and listener in the middle of a download:
// what is missing must not look like the end. Both come back, and so does the
// service.
func TestDeadRelayIsAReset(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	w.Serve(t, w.Site, "stream", "127.0.0.2:10019")
	relay := w.Relay(t, world.Contoso, "-send-key", "c2VuZA==", "stream-hc=stream.corp.example:19@127.0.0.2:10019")
	sidecar := w.Sidecar(t, w.Settings(t, relay.Connections, relay.CAFile)...)

	c := w.Client(t, "stream.corp.example:19")
	const size = 4 << 20
	c.MustDo(t, fmt.Sprint("read ", size), fmt.Sprintf("read %d %s", size, role.PatternSum(0, size)))
	c.Begin(t, "readall")
	relay.End(syscall.SIGKILL)
	if got := c.Answer(t, world.Patience); !strings.HasPrefix(got, "ECONNRESET ") {
		t.Errorf("the app saw %q, want ECONNRESET", got)
	}
	if got := sidecar.AwaitClosed(t, "stream.corp.example:19", 1); got.Cause != "tunnel_dropped" {
		t.Errorf("logged: %s", got.Line)
	}
}

// TestKilledSidecarIsAReset: the kernel closes what a dead process had open, and
// that must not look like the end of a stream either.
func TestKilledSidecarIsAReset(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	w.Serve(t, w.Site, "stream", "127.0.0.2:10019")
	w.Serve(t, w.Site, "echo", "127.0.0.2:10007")
	relay := w.Relay(t, world.Contoso, "stream-hc=stream.corp.example:19@127.0.0.2:10019", "echo-hc=echo.corp.example:7@127.0.0.2:10007")
	sidecar := w.Sidecar(t, w.Settings(t, relay.Connections, relay.CAFile)...)

	busy := w.Client(t, "stream.corp.example:19")
	busy.MustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", role.PatternSum(0, 65536)))
	idle := w.Client(t, "echo.corp.example:7")
	idle.MustDo(t, "write hello", "ok")
	idle.MustDo(t, "line", "hello")
	for _, c := range []*world.Client{busy, idle} {
		c.Begin(t, "readall")
	}
	sidecar.End(syscall.SIGKILL)
	for _, c := range []*world.Client{busy, idle} {
		if got := c.Answer(t, world.Patience); !strings.HasPrefix(got, "ECONNRESET ") {
			t.Errorf("the app saw %q, want ECONNRESET", got)
		}
	}
}

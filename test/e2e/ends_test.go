package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// TestEndsArrive shows how a connection's end looks to the app and to the
// private server, with listeners that keep half-closes and with HCM, which
// does not.
func TestEndsArrive(t *testing.T) {
	needs(t)
	const size = 1 << 20
	w := newWorld(t)
	w.serve(t, w.site, "late", "127.0.0.2:10080", fmt.Sprint(size))
	halfCloser := w.serve(t, w.site, "half-close", "127.0.0.2:10081")
	greeter := w.serve(t, w.site, "half-close", "127.0.0.2:10082", "hello")
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	hcm := w.relay(t, contoso, "-personality", "hcm",
		"late-hc=late.corp.example:80@127.0.0.2:10080",
		"echo-hc=echo.corp.example:7@127.0.0.2:10007",
		"refused-hc=refused.corp.example:80@127.0.0.2:10079") // nobody listens there
	ideal := w.relay(t, fabrikam, "-personality", "halfclose",
		"late-hc=late.fabrikam.example:80@127.0.0.2:10080",
		"half-hc=half.fabrikam.example:81@127.0.0.2:10081",
		"greet-hc=greet.fabrikam.example:82@127.0.0.2:10082",
		"echo-hc=echo.fabrikam.example:7@127.0.0.2:10007")
	settings := w.settings(t, append(hcm.connections, ideal.connections...), hcm.caFile, ideal.caFile)
	// Longer than the late server thinks.
	sidecar := w.sidecar(t, append(settings, "HYCO_LINGER=3s")...)

	// HCM keeps the server's end back until the sender has closed, which nc -N
	// does first.
	for _, host := range []string{"late.corp.example", "late.fabrikam.example"} {
		t.Run("HalfClosedClientGetsTheWholeAnswer/"+host, func(t *testing.T) {
			needs(t, "nc.openbsd")
			got := w.mustRun(t, w.app, command{stdin: strings.NewReader("GET / HTTP/1.0\r\n\r\n")}, "nc.openbsd", "-N", host, "80")
			body, ok := strings.CutPrefix(got, "HTTP/1.0 200 OK\r\n\r\n")
			if !ok || sum([]byte(body)) != patternSum(0, size) {
				t.Errorf("got %d bytes, want all %d", len(body), size)
			}
			if got := sidecar.awaitClosed(t, host+":80", 1); got.Cause != "closed" || got.Down < size {
				t.Errorf("logged: %s", got.line)
			}
		})
	}

	for _, server := range []struct {
		endpoint, greeting string
		process            *process
	}{{"half.fabrikam.example:81", "", halfCloser}, {"greet.fabrikam.example:82", "hello", greeter}} {
		t.Run("ServerThatHalfClosesAtOnceStillReceives/"+server.endpoint, func(t *testing.T) {
			const size = 10 << 20
			c := w.client(t, server.endpoint)
			c.mustDo(t, "readall", fmt.Sprintf("EOF %d %s", len(server.greeting), sum([]byte(server.greeting))))
			want := fmt.Sprintf("%d %s", size, patternSum(0, size))
			c.mustDo(t, fmt.Sprint("send ", size), "sent "+want)
			c.mustDo(t, "closewrite", "ok")
			server.process.awaitText(t, "received "+want)
			if got := sidecar.awaitClosed(t, server.endpoint, 1); got.Cause != "closed" || got.Up != size {
				t.Errorf("logged: %s", got.line)
			}
		})
	}

	// The server never learns from HCM that the app has half-closed, so neither
	// side would ever end.
	t.Run("SilenceAfterAnEndIsBounded", func(t *testing.T) {
		c := w.client(t, "echo.corp.example:7")
		c.mustDo(t, "write hello", "ok")
		c.mustDo(t, "line", "hello")
		c.mustDo(t, "closewrite", "ok")
		c.mustDo(t, "readall", "ECONNRESET after 0 bytes")
		if got := sidecar.awaitClosed(t, "echo.corp.example:7", 1); got.Cause != "lingered" {
			t.Errorf("logged: %s", got.line)
		}
	})

	t.Run("UnreachableTargetIsAReset", func(t *testing.T) {
		if got := w.attempt(t, "refused.corp.example:80").answer(t, patience); got != "ECONNRESET after 0 bytes" {
			t.Errorf("the app saw %q, want a reset", got)
		}
		got := sidecar.awaitClosed(t, "refused.corp.example:80", 1)
		if got.Cause != "target_unreachable_suspected" || got.Next == "" {
			t.Errorf("logged: %s", got.line)
		}
	})

	t.Run("ResetOfTheAppIsNoEnd", func(t *testing.T) {
		c := w.client(t, "echo.fabrikam.example:7")
		c.mustDo(t, "write hello", "ok")
		c.mustDo(t, "line", "hello")
		c.mustDo(t, "reset", "ok")
		if got := sidecar.awaitClosed(t, "echo.fabrikam.example:7", 1); got.Cause != "app_reset" {
			t.Errorf("logged: %s", got.line)
		}
	})
}

// TestDeadRelayIsAReset kills relay and listener in the middle of a download:
// what is missing must not look like the end. Both come back, and so does the
// service.
func TestDeadRelayIsAReset(t *testing.T) {
	needs(t)
	w := newWorld(t)
	w.serve(t, w.site, "stream", "127.0.0.2:10019")
	relay := w.relay(t, contoso, "-send-key", "c2VuZA==", "stream-hc=stream.corp.example:19@127.0.0.2:10019")
	sidecar := w.sidecar(t, w.settings(t, relay.connections, relay.caFile)...)

	c := w.client(t, "stream.corp.example:19")
	const size = 4 << 20
	c.mustDo(t, fmt.Sprint("read ", size), fmt.Sprintf("read %d %s", size, patternSum(0, size)))
	c.begin(t, "readall")
	relay.end(syscall.SIGKILL)
	if got := c.answer(t, patience); !strings.HasPrefix(got, "ECONNRESET ") {
		t.Errorf("the app saw %q, want ECONNRESET", got)
	}
	if got := sidecar.awaitClosed(t, "stream.corp.example:19", 1); got.Cause != "tunnel_dropped" {
		t.Errorf("logged: %s", got.line)
	}
}

// TestKilledSidecarIsAReset: the kernel closes what a dead process had open, and
// that must not look like the end of a stream either.
func TestKilledSidecarIsAReset(t *testing.T) {
	needs(t)
	w := newWorld(t)
	w.serve(t, w.site, "stream", "127.0.0.2:10019")
	w.serve(t, w.site, "echo", "127.0.0.2:10007")
	relay := w.relay(t, contoso, "stream-hc=stream.corp.example:19@127.0.0.2:10019", "echo-hc=echo.corp.example:7@127.0.0.2:10007")
	sidecar := w.sidecar(t, w.settings(t, relay.connections, relay.caFile)...)

	busy := w.client(t, "stream.corp.example:19")
	busy.mustDo(t, "read 65536", fmt.Sprintf("read 65536 %s", patternSum(0, 65536)))
	idle := w.client(t, "echo.corp.example:7")
	idle.mustDo(t, "write hello", "ok")
	idle.mustDo(t, "line", "hello")
	for _, c := range []*client{busy, idle} {
		c.begin(t, "readall")
	}
	sidecar.end(syscall.SIGKILL)
	for _, c := range []*client{busy, idle} {
		if got := c.answer(t, patience); !strings.HasPrefix(got, "ECONNRESET ") {
			t.Errorf("the app saw %q, want ECONNRESET", got)
		}
	}
}

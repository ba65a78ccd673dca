//go:build linux

package e2e_test

import (
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// namesResolve asks the sidecar as resolvers do: dig for the message, getent
// for what the C library makes of it.
func namesResolve(t *testing.T, w *world.World, sidecar *world.Sidecar, settings []string) {
	world.Needs(t, "dig", "getent", "curl")
	dig := func(args ...string) string {
		return w.MustRun(t, w.App, world.Command{}, append([]string{"dig", "+tries=1", "+time=5"}, args...)...)
	}
	address := w.StandIn(t, settings, "orders.corp.example")

	for _, transport := range []string{"+notcp", "+tcp"} {
		if got := dig(transport, "+short", "orders.corp.example"); got != address+"\n" {
			t.Errorf("dig %s: got %q, want %q", transport, got, address)
		}
	}
	if got := dig("+short", "-x", address); got != "orders.corp.example.\n" {
		t.Errorf("dig -x %s: got %q", address, got)
	}
	for _, qtype := range []string{"AAAA", "HTTPS", "TXT"} {
		got := dig("orders.corp.example", qtype)
		if !strings.Contains(got, "status: NOERROR") || !strings.Contains(got, "ANSWER: 0") {
			t.Errorf("dig %s: want NOERROR without an answer, got\n%s", qtype, got)
		}
	}
	if got := w.MustRun(t, w.App, world.Command{}, "getent", "hosts", "ORDERS.corp.example"); !strings.HasPrefix(got, address+" ") {
		t.Errorf("getent: got %q, want %s", got, address)
	}

	// Names that are not ours are the upstream's to answer.
	if got := dig("+short", "www.example"); got != "192.0.2.80\n" {
		t.Errorf("dig www.example: got %q", got)
	}
	if got := dig("+tcp", "+short", "www.example"); got != "192.0.2.80\n" {
		t.Errorf("dig +tcp www.example: got %q", got)
	}
	if got := w.MustRun(t, w.App, world.Command{}, "getent", "hosts", "www.example"); !strings.HasPrefix(got, "192.0.2.80 ") {
		t.Errorf("getent www.example: got %q", got)
	}
	if got := dig("nobody.corp.example"); !strings.Contains(got, "status: NXDOMAIN") {
		t.Errorf("dig nobody.corp.example: want NXDOMAIN, got\n%s", got)
	}
	// It is next to ours, so it may be one that was forgotten.
	sidecar.Await(t, &sidecar.Stderr, world.Patience, "a hint about nobody.corp.example", func(log string) bool {
		return strings.Contains(log, `"name":"nobody.corp.example","configured":"node.corp.example"`)
	})

	r := w.Run(t, w.App, world.Command{}, "curl", "-6", "-sS", "http://orders.corp.example:8080/")
	if r.Code == 0 || r.Took > 2*time.Second {
		t.Errorf("curl -6: exit code %d after %v, want a failure within 2s", r.Code, r.Took)
	}

	noise := w.Role(t, w.App, "noise", "127.0.0.1:53")
	if code := noise.Wait(t, world.Patience); code != 0 {
		t.Errorf("noise: exit code %d: %s", code, noise.Stderr.String())
	}
	for _, transport := range []string{"+notcp", "+tcp"} {
		if got := dig(transport, "+short", "orders.corp.example"); got != address+"\n" {
			t.Errorf("after random bytes, dig %s: got %q, want %q", transport, got, address)
		}
	}
}

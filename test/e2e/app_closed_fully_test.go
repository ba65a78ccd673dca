//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// TestAppsThatCloseFullyLeaveNoTunnels tells two kinds of apps apart that send the
// same end of stream to a Hybrid Connection Manager, whose target sends none: 500
// that have closed fully, whose tunnels end soon, and 500 that have half-closed and
// get the answer for which they wait longer than that.
func TestAppsThatCloseFullyLeaveNoTunnels(t *testing.T) {
	t.Parallel()
	world.Needs(t)
	closeFully(t)
}

// closeFully is the test, for a sidecar with further settings.
func closeFully(t *testing.T, further ...string) {
	const (
		apps   = 500
		soon   = 5 * time.Second
		silent = "127.0.0.2:10090"
		late   = "127.0.0.2:10080"
	)
	w := world.New(t)
	w.Programs = world.PlainPrograms(t)
	w.Serve(t, w.Site, "silent", silent)
	w.Serve(t, w.Site, "late", late, fmt.Sprint(role.AnswerSize), "7s")
	// A relay for each, so that their tunnels can be counted.
	contoso := w.Relay(t, world.Contoso, "late-hc=late.corp.example:80@"+late)
	fabrikam := w.Relay(t, world.Fabrikam, "silent-hc=silent.corp.example:90@"+silent)
	settings := w.Settings(t, append(contoso.Connections, fabrikam.Connections...), contoso.CAFile, fabrikam.CAFile)
	s := w.Sidecar(t, append(append(settings, "HYCO_WARM_CONNECTIONS=0"), further...)...) // a spare connection is no tunnel

	asking := w.Crowd(t, "ask", apps, apps, "late.corp.example:80")
	asking.AwaitText(t, "all open")
	leaving := w.Crowd(t, "abandon", apps, apps, "silent.corp.example:90")
	leaving.AwaitText(t, "all open")
	for relay, target := range map[*world.Relay]string{contoso: late, fabrikam: silent} {
		world.Eventually(t, 2*world.Patience, "every app has its connection to "+target, func() bool { return relay.Established(t, target) >= apps })
	}

	leaving.Tell(t, "close")
	leaving.MustEnd(t, world.Patience, fmt.Sprintf("ends: map[left:%d]", apps))
	world.Eventually(t, soon, "no tunnel of an app that has gone", func() bool { return s.Established(t, world.SiteAddress+":8443") == 0 })

	asking.MustEnd(t, 2*world.Patience, fmt.Sprintf("ends: map[answered:%d]", apps))
	world.Eventually(t, world.Patience, "no tunnel of an app that has its answer", func() bool { return s.Established(t, world.SiteAddress+":443") == 0 })
	causes := make(map[string]int)
	for _, e := range s.Closed("") {
		causes[e.Endpoint+" "+e.Cause]++
	}
	if causes["silent.corp.example:90 app_gone"] != apps || causes["late.corp.example:80 closed"] != apps {
		t.Errorf("ends logged: %v", causes)
	}
}

// TestHalfClosedAppOfAnotherNamespaceIsNotCut: an app may be led to our loopback from
// elsewhere, where the kernel we ask does not know its socket.
func TestHalfClosedAppOfAnotherNamespaceIsNotCut(t *testing.T) {
	t.Parallel()
	world.Needs(t, "nft", "sysctl", "getent")
	w := world.New(t)
	w.Programs = world.PlainPrograms(t)
	w.Serve(t, w.Site, "late", "127.0.0.2:10080", fmt.Sprint(role.AnswerSize), "7s")
	contoso := w.Relay(t, world.Contoso, "late-hc=late.corp.example:80@127.0.0.2:10080")
	s := w.Sidecar(t, w.Settings(t, contoso.Connections, contoso.CAFile)...)
	address := strings.Fields(w.MustRun(t, w.App, world.Command{}, "getent", "hosts", "late.corp.example"))[0]
	w.MustRun(t, w.App, world.Command{}, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1", "net.ipv4.ip_nonlocal_bind=1")
	w.MustRun(t, w.App, world.Command{Stdin: strings.NewReader(`table ip elsewhere {
		chain prerouting {
			type nat hook prerouting priority dstnat
			ip daddr ` + world.AppAddress + ` tcp dport 8080 dnat to ` + address + `:80
		}
	}`)}, "nft", "-f", "-")

	asking := w.Role(t, w.Site, "crowd", "ask", "1", "1", world.AppAddress+":8080")
	asking.MustEnd(t, 2*world.Patience, "ends: map[answered:1]")
	if e := s.AwaitClosed(t, "late.corp.example:80", 1); e.Cause != "closed" {
		t.Errorf("cause: got %q, want closed", e.Cause)
	}
}

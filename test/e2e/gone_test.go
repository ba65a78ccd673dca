package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAppsThatCloseFullyLeaveNoTunnels tells two kinds of apps apart that send the
// same end of stream to a Hybrid Connection Manager, whose target sends none: 500
// that have closed fully, whose tunnels end soon, and 500 that have half-closed and
// get the answer for which they wait longer than that.
func TestAppsThatCloseFullyLeaveNoTunnels(t *testing.T) {
	t.Parallel()
	needs(t)
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
	w := newWorld(t)
	w.programs = plainPrograms(t)
	w.serve(t, w.site, "silent", silent)
	w.serve(t, w.site, "late", late, fmt.Sprint(answerSize), "7s")
	// A relay for each, so that their tunnels can be counted.
	contoso := w.relay(t, contoso, "late-hc=late.corp.example:80@"+late)
	fabrikam := w.relay(t, fabrikam, "silent-hc=silent.corp.example:90@"+silent)
	settings := w.settings(t, append(contoso.connections, fabrikam.connections...), contoso.caFile, fabrikam.caFile)
	s := w.sidecar(t, append(append(settings, "HYCO_WARM_CONNECTIONS=0"), further...)...) // a spare connection is no tunnel

	asking := w.crowd(t, "ask", apps, apps, "late.corp.example:80")
	asking.awaitText(t, "all open")
	leaving := w.crowd(t, "abandon", apps, apps, "silent.corp.example:90")
	leaving.awaitText(t, "all open")
	for relay, target := range map[*relay]string{contoso: late, fabrikam: silent} {
		eventually(t, 2*patience, "every app has its connection to "+target, func() bool { return relay.established(t, target) >= apps })
	}

	leaving.tell(t, "close")
	leaving.mustEnd(t, patience, fmt.Sprintf("ends: map[left:%d]", apps))
	eventually(t, soon, "no tunnel of an app that has gone", func() bool { return s.established(t, siteAddress+":8443") == 0 })

	asking.mustEnd(t, 2*patience, fmt.Sprintf("ends: map[answered:%d]", apps))
	eventually(t, patience, "no tunnel of an app that has its answer", func() bool { return s.established(t, siteAddress+":443") == 0 })
	causes := make(map[string]int)
	for _, e := range s.closed("") {
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
	needs(t, "nft", "sysctl", "getent")
	w := newWorld(t)
	w.programs = plainPrograms(t)
	w.serve(t, w.site, "late", "127.0.0.2:10080", fmt.Sprint(answerSize), "7s")
	contoso := w.relay(t, contoso, "late-hc=late.corp.example:80@127.0.0.2:10080")
	s := w.sidecar(t, w.settings(t, contoso.connections, contoso.caFile)...)
	address := strings.Fields(w.mustRun(t, w.app, command{}, "getent", "hosts", "late.corp.example"))[0]
	w.mustRun(t, w.app, command{}, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1", "net.ipv4.ip_nonlocal_bind=1")
	w.mustRun(t, w.app, command{stdin: strings.NewReader(`table ip elsewhere {
		chain prerouting {
			type nat hook prerouting priority dstnat
			ip daddr ` + appAddress + ` tcp dport 8080 dnat to ` + address + `:80
		}
	}`)}, "nft", "-f", "-")

	asking := w.role(t, w.site, "crowd", "ask", "1", "1", appAddress+":8080")
	asking.mustEnd(t, 2*patience, "ends: map[answered:1]")
	if e := s.awaitClosed(t, "late.corp.example:80", 1); e.Cause != "closed" {
		t.Errorf("cause: got %q, want closed", e.Cause)
	}
}

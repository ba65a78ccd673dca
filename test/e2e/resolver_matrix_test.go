//go:build linux

package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/world"
)

// The names of the matrix, and the time a lookup may take.
const (
	ownName       = "orders.corp.example"
	ownPage       = ownName + ":8080"
	forwardedName = "www.example"
	missingName   = "nobody.corp.example"

	withHealthyUpstreams = 50 * time.Millisecond
	withDeadUpstreams    = 100 * time.Millisecond

	// A name is looked up so often, and the second best of the times counts: what
	// a busy machine delays does not fail the test, a resolver that is slow each
	// time does.
	lookupAttempts = 5

	// No single lookup may take so long, whatever the others take: these C
	// libraries, Go and the tools ask again when they have waited 2.5 s or 5 s
	// in vain, so it would be one of which an answer was missing.
	beforeAnyRetry = 2 * time.Second
)

// podSearch is a pod's resolv.conf in Kubernetes, where every name with fewer
// than five dots is tried below three domains first.
const podSearch = "search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"

// TestResolvers has every resolver that apps come with look names up, in a
// namespace where nobody but the sidecar answers, and go through the tunnel by
// the name.
func TestResolvers(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc="+ownPage+"@127.0.0.2:18080")
	settings := w.Settings(t, relay.Connections, relay.CAFile)
	m := &matrix{World: w, clients: resolverClients(t), own: w.StandIn(t, settings, ownName)}

	m.sidecar = w.Sidecar(t, settings...)
	t.Run("Plain", func(t *testing.T) { m.allResolve(t, "", m.clients) })
	t.Run("SearchDomains", func(t *testing.T) {
		m.allResolve(t, podSearch, m.clients)
		if asked := w.DNS.Stdout.String(); !strings.Contains(asked, "asked "+ownName+".shop.svc.cluster.local\n") {
			t.Errorf("nobody has searched: the upstream was asked\n%s", world.Tail(asked))
		}
	})
	for _, option := range []string{"single-request-reopen", "use-vc", "edns0", "trust-ad"} {
		t.Run(option, func(t *testing.T) {
			m.allResolve(t, "options "+option+"\n", named(m.clients, "glibc", "musl", "Go"))
		})
	}
	t.Run("UseVCIsTCP", m.useVCIsTCP)
	if strings.Contains(w.DNS.Stdout.String(), "asked "+ownName+"\n") {
		t.Errorf("the upstream was asked for %s", ownName)
	}

	m.sidecar.Stop(t, world.Patience)
	holes := []string{world.SiteAddress + ":5301", world.SiteAddress + ":5302"}
	w.Serve(t, w.Site, "hole", holes[0], holes[1])
	m.sidecar = w.Sidecar(t, append(settings, "HYCO_DNS_UPSTREAMS="+strings.Join(holes, ","))...)
	t.Run("BlackHoles", m.ownNamesInBlackHoles)
	t.Run("SearchDomainsAndBlackHoles", m.searchDomainsInBlackHoles)
}

type matrix struct {
	*world.World
	sidecar *world.Sidecar
	clients []resolverClient
	own     string // the address of ownName
}

// resolvConf gives the apps that start from now on another resolv.conf.
func (m *matrix) resolvConf(t *testing.T, rest string) {
	t.Helper()
	m.SetResolvConf(t, m.App, "nameserver 127.0.0.1\n"+rest)
}

// allResolve asks, with these lines in resolv.conf, for a name of ours, for one
// of an upstream's and for one that is nobody's, and fetches a page by the first.
func (m *matrix) allResolve(t *testing.T, resolvConf string, clients []resolverClient) {
	m.resolvConf(t, resolvConf)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			c.prepare(t, m.World)
			var names []string
			for _, name := range []string{ownName, forwardedName, missingName} {
				names = append(names, slices.Repeat([]string{name}, lookupAttempts)...)
			}
			seen := c.see(t, m.World, append(names, ownPage)...)
			m.check(t, seen, ownName, m.own, withHealthyUpstreams)
			m.check(t, seen, forwardedName, "192.0.2.80", withHealthyUpstreams)
			m.check(t, seen, missingName, c.notFound, withHealthyUpstreams)
			if last := seen[len(seen)-1]; c.fetches() && last.saw != "the orders of contoso" {
				t.Errorf("%s: saw %q", ownPage, last.saw)
			}
		})
	}
}

// check compares what was seen of a name with want, and the time with limit.
func (m *matrix) check(t *testing.T, seen []sighting, name, want string, limit time.Duration) {
	t.Helper()
	var took []time.Duration
	for _, s := range seen {
		if s.of != name {
			continue
		}
		if s.saw != want {
			t.Errorf("%s: saw %q, want %q", name, s.saw, want)
		}
		took = append(took, s.took)
	}
	if len(took) != lookupAttempts {
		t.Fatalf("%s: %d lookups, not %d", name, len(took), lookupAttempts)
	}
	slices.Sort(took)
	if good, most := took[1], took[len(took)-1]; good > limit || most > beforeAnyRetry {
		t.Errorf("%s: lookups took %v; want two within %v and none above %v", name, took, limit, beforeAnyRetry)
	}
	t.Logf("%s: %v", name, took)
}

// useVCIsTCP makes sure that what this option is for has happened in the tests
// of it; musl knows no such option.
func (m *matrix) useVCIsTCP(t *testing.T) {
	m.resolvConf(t, "options use-vc\n")
	for _, c := range named(m.clients, "glibc", "Go") {
		t.Run(c.name, func(t *testing.T) {
			c.prepare(t, m.World)
			before := m.sidecar.DatagramsSent(t)
			m.check(t, c.see(t, m.World, slices.Repeat([]string{ownName}, lookupAttempts)...), ownName, m.own, withHealthyUpstreams)
			// The sidecar may have sent one for itself.
			if sent := m.sidecar.DatagramsSent(t) - before; sent >= lookupAttempts {
				t.Errorf("%d datagrams were sent for %d lookups over TCP", sent, lookupAttempts)
			}
		})
	}
}

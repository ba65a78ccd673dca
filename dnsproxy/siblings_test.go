package dnsproxy_test

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// A siblingWorld is a served Server and what it has said of siblings. A hint is
// there before the reply that led to it.
type siblingWorld struct {
	*client
	logged *logBuffer
	found  chan dnsproxy.Sibling
}

// siblings serves these names with an upstream that says rcode to all others.
func siblings(t *testing.T, rcode int, names ...string) *siblingWorld {
	t.Helper()
	addrs := make(map[string]netip.Addr)
	for i, name := range names {
		addrs[name] = netip.AddrFrom4([4]byte{127, 77, 1, byte(i + 1)})
	}
	tab, err := dnsproxy.NewTable(maps.All(addrs))
	if err != nil {
		t.Fatal(err)
	}
	w := &siblingWorld{logged: &logBuffer{lines: make(chan bool, 200)}, found: make(chan dnsproxy.Sibling, 200)}
	w.client = serve(t, &dnsproxy.Server{
		Table:     tab,
		Upstreams: upstreams(fakedns.Start(t, fakedns.Rcode(rcode))),
		Logger: slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})),
		Hooks: dnsproxy.Hooks{Sibling: func(s dnsproxy.Sibling) { w.found <- s }},
	})
	return w
}

// siblings returns what the hook was told since the last call.
func (w *siblingWorld) siblings() []dnsproxy.Sibling {
	var found []dnsproxy.Sibling
	for {
		select {
		case s := <-w.found:
			found = append(found, s)
		default:
			return found
		}
	}
}

func TestANameNextToAConfiguredOneThatNobodyKnowsIsToldOnce(t *testing.T) {
	w := siblings(t, dns.RcodeNameError, "kafka-1.corp.example", "Sql01.corp.example", "api.fabrikam.example")
	for range 2 {
		for _, network := range []string{"udp", "tcp"} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				for _, name := range []string{"kafka-2.corp.example", "KAFKA-2.Corp.Example"} {
					if got := w.ask(network, question(name, qtype)); got.Rcode != dns.RcodeNameError {
						t.Errorf("got %v", got)
					}
				}
			}
		}
	}
	want := `level=INFO msg="an app asked for a name next to a configured one, and no resolver knows it" ` +
		"name=kafka-2.corp.example configured=kafka-1.corp.example\n"
	if got := w.logged.String(); got != want {
		t.Errorf("logged\n%s\nwant\n%s", got, want)
	}
	if got := w.siblings(); !slices.Equal(got, []dnsproxy.Sibling{{Name: "kafka-2.corp.example", Configured: "kafka-1.corp.example"}}) {
		t.Errorf("the hook got %v", got)
	}
	w.ask("udp", question("sql02.corp.example", dns.TypeA))
	w.ask("udp", question("nobody.fabrikam.example", dns.TypeA))
	if got := w.siblings(); !slices.Equal(got, []dnsproxy.Sibling{
		{Name: "sql02.corp.example", Configured: "sql01.corp.example"},
		{Name: "nobody.fabrikam.example", Configured: "api.fabrikam.example"},
	}) {
		t.Errorf("the hook got %v", got)
	}
}

func TestOtherNamesAndAnswersAreNoSiblings(t *testing.T) {
	for _, test := range []struct {
		name  string
		asked string
		qtype uint16
		rcode int
	}{
		{"that exists", "kafka-2.corp.example", dns.TypeA, dns.RcodeSuccess},
		{"that nobody could look up", "kafka-2.corp.example", dns.TypeA, dns.RcodeServerFailure},
		{"that is refused", "kafka-2.corp.example", dns.TypeA, dns.RcodeRefused},
		{"asked for something else than an address", "kafka-2.corp.example", dns.TypeTXT, dns.RcodeNameError},
		{"of another domain", "kafka-2.fabrikam.example", dns.TypeA, dns.RcodeNameError},
		{"tried with a search domain", "kafka-1.corp.example.shop.svc.cluster.local", dns.TypeA, dns.RcodeNameError},
		{"below the configured one", "www.kafka-1.corp.example", dns.TypeA, dns.RcodeNameError},
		{"below a sibling", "www.kafka-2.corp.example", dns.TypeA, dns.RcodeNameError},
		{"above", "corp.example", dns.TypeA, dns.RcodeNameError},
		{"in a domain of one label", "fabrikam.com", dns.TypeA, dns.RcodeNameError},
		{"of one label", "db2", dns.TypeA, dns.RcodeNameError},
		{"the root", ".", dns.TypeA, dns.RcodeNameError},
		{"the configured one itself", "kafka-1.corp.example", dns.TypeAAAA, dns.RcodeNameError},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := siblings(t, test.rcode, "kafka-1.corp.example", "contoso.com", "db1")
			w.ask("udp", question(test.asked, test.qtype))
			if got := w.siblings(); got != nil || w.logged.String() != "" {
				t.Errorf("the hook got %v, the log has %s", got, w.logged)
			}
		})
	}
}

func TestNoMoreThan64SiblingsAreToldOf(t *testing.T) {
	w := siblings(t, dns.RcodeNameError, "kafka-1.corp.example")
	for i := range 100 {
		w.ask("udp", question(fmt.Sprintf("made-up-%d.corp.example", i), dns.TypeA))
	}
	if got, lines := w.siblings(), strings.Count(w.logged.String(), "\n"); len(got) != 64 || lines != 64 {
		t.Errorf("the hook was called %d times and %d lines were logged, want 64", len(got), lines)
	}
}

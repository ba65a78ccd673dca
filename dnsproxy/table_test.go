package dnsproxy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hyco-sidecar/dnsproxy"
)

type entry struct{ name, addr string }

func newTable(entries ...entry) (*dnsproxy.Table, error) {
	return dnsproxy.NewTable(func(yield func(string, netip.Addr) bool) {
		for _, e := range entries {
			addr, _ := netip.ParseAddr(e.addr)
			if !yield(e.name, addr) {
				return
			}
		}
	})
}

func TestTableComparesNamesAsDNSDoes(t *testing.T) {
	tab, err := newTable(
		entry{"SQL01.corp.example.", "127.77.1.2"},
		entry{"sql01.CORP.example", "127.77.1.2"},
		entry{`a\097\.b.corp.example`, "::ffff:127.77.1.3"},
		entry{"alias.corp.example", "127.77.1.2"},
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"sql01.corp.example":      "127.77.1.2",
		"SQL01.corp.Example.":     "127.77.1.2",
		`aa\046B.corp.example`:    "127.77.1.3",
		"x.sql01.corp.example":    "invalid IP",
		"corp.example":            "invalid IP",
		"sql01.corp.example..":    "invalid IP",
		"":                        "invalid IP",
		".":                       "invalid IP",
		strings.Repeat("a.", 200): "invalid IP",
	} {
		addr, ok := tab.Lookup(name)
		if addr.String() != want || ok != addr.IsValid() {
			t.Errorf("%q: got %v, %v, want %s", name, addr, ok, want)
		}
	}
	for addr, want := range map[string]string{
		"127.77.1.2":        "alias.corp.example",
		"::ffff:127.77.1.3": `aa\.b.corp.example`,
		"127.77.1.4":        "",
		"::1":               "",
	} {
		name, ok := tab.Name(netip.MustParseAddr(addr))
		if name != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", addr, name, ok, want)
		}
	}
	var all []string
	for name, addr := range tab.All() {
		all = append(all, fmt.Sprint(name, " ", addr))
	}
	want := []string{`aa\.b.corp.example 127.77.1.3`, "alias.corp.example 127.77.1.2", "sql01.corp.example 127.77.1.2"}
	if !slices.Equal(all, want) {
		t.Errorf("got %q, want %q", all, want)
	}
}

func TestTableSaysWhatIsWrongWithARecord(t *testing.T) {
	for _, test := range []struct {
		entries []entry
		want    string
	}{
		{[]entry{{"", "127.77.1.2"}}, `"" is not a host name`},
		{[]entry{{".", "127.77.1.2"}}, `"." is not a host name`},
		{[]entry{{"a..b", "127.77.1.2"}}, `"a..b" is not a host name`},
		{[]entry{{strings.Repeat("a", 64), "127.77.1.2"}}, "is not a host name"},
		{[]entry{{"a.example", "fd00::1"}}, `"a.example" has the address fd00::1, which is not IPv4`},
		{[]entry{{"a.example", ""}}, `"a.example" has the address invalid IP, which is not IPv4`},
		{[]entry{{"a.example", "127.77.1.2"}, {"A.example.", "127.77.1.3"}}, `"A.example." has two addresses, 127.77.1.2 and 127.77.1.3`},
		{[]entry{{"Hyco-Sidecar.internal", "127.77.1.2"}}, `the name "Hyco-Sidecar.internal" is reserved`},
	} {
		if _, err := newTable(test.entries...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %s", test.entries, err, test.want)
		}
	}
}

func TestEmptyTableHasNothing(t *testing.T) {
	for _, tab := range []*dnsproxy.Table{nil, {}} {
		if _, ok := tab.Lookup("a.example"); ok {
			t.Error("has a name")
		}
		if _, ok := tab.Name(netip.MustParseAddr("127.0.0.1")); ok {
			t.Error("has an address")
		}
		for name := range tab.All() {
			t.Error(name)
		}
	}
}

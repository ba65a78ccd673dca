package dnsproxy

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A Table is the set of own names, each with its one IPv4 address. It is immutable;
// the zero value and nil are empty tables.
type Table struct {
	addrs   map[string]netip.Addr // by canonical name, with the trailing dot
	names   []string              // keys of addrs, sorted
	reverse map[netip.Addr]string // the first of these for an address
	records map[string]record     // A and PTR, by name in wire form and lower case
}

// NewTable returns the table of the given names and addresses. Names are
// compared as DNS does: without regard to ASCII case (RFC 4343 section 3) and to a
// trailing dot. A name may come twice with the same address. The error names the
// first record that is not usable: no host name, no IPv4 address, a second address
// for a name, or [Canary], which is taken.
func NewTable(records iter.Seq2[string, netip.Addr]) (*Table, error) {
	t := &Table{
		addrs:   make(map[string]netip.Addr),
		reverse: make(map[netip.Addr]string),
		records: make(map[string]record),
	}
	for name, addr := range records {
		key, ok := canonical(name)
		if !ok {
			return nil, fmt.Errorf("dnsproxy: %q is not a host name", name)
		}
		if key == Canary+"." {
			return nil, fmt.Errorf("dnsproxy: the name %q is reserved", name)
		}
		addr = addr.Unmap()
		if !addr.Is4() {
			return nil, fmt.Errorf("dnsproxy: %q has the address %v, which is not IPv4", name, addr)
		}
		if old, ok := t.addrs[key]; ok && old != addr {
			return nil, fmt.Errorf("dnsproxy: %q has two addresses, %v and %v", name, old, addr)
		}
		t.addrs[key] = addr
	}
	t.names = slices.Sorted(maps.Keys(t.addrs))
	for _, name := range slices.Backward(t.names) {
		addr := t.addrs[name]
		t.reverse[addr] = name
		t.records[string(appendName(nil, reverseName(addr)))] = record{dns.TypePTR, appendName(nil, name)}
	}
	for name, addr := range t.addrs { // last: a name may itself be one of in-addr.arpa
		t.records[string(appendName(nil, name))] = record{dns.TypeA, addr.AsSlice()}
	}
	return t, nil
}

// Lookup returns the address of name, written in any case, with or without a
// trailing dot, and whether the table has the name.
func (t *Table) Lookup(name string) (netip.Addr, bool) {
	key, ok := canonical(name)
	if !ok || t == nil {
		return netip.Addr{}, false
	}
	addr, ok := t.addrs[key]
	return addr, ok
}

// Name returns the name whose address is addr, in lower case and without a
// trailing dot, and whether there is one. Of several names it is the first in
// alphabetical order.
func (t *Table) Name(addr netip.Addr) (string, bool) {
	addr = addr.Unmap()
	if t == nil {
		return "", false
	}
	name, ok := t.reverse[addr]
	return strings.TrimSuffix(name, "."), ok
}

// All yields the names, in lower case and without a trailing dot, and their
// addresses, in the alphabetical order of the names.
func (t *Table) All() iter.Seq2[string, netip.Addr] {
	return func(yield func(string, netip.Addr) bool) {
		if t == nil {
			return
		}
		for _, name := range t.names {
			if !yield(strings.TrimSuffix(name, "."), t.addrs[name]) {
				return
			}
		}
	}
}

// record returns the A or PTR record of a name in wire form and lower case.
func (t *Table) record(name []byte) (record, bool) {
	if t == nil {
		return record{}, false
	}
	r, ok := t.records[string(name)]
	return r, ok
}

// canonical brings a name into the form in which names are compared: lower case,
// trailing dot, and escapes as [dns.UnpackDomainName] writes them, since the same
// label can be escaped in several ways. The root and text that is no domain name
// are refused.
func canonical(name string) (string, bool) {
	if name == "" || name == "." {
		return "", false
	}
	var wire [255]byte // RFC 1035 section 2.3.4
	end, err := dns.PackDomainName(dns.Fqdn(name), wire[:], 0, nil, false)
	if err != nil {
		return "", false
	}
	unpacked, _, err := dns.UnpackDomainName(wire[:end], 0)
	if err != nil {
		return "", false
	}
	return dns.CanonicalName(unpacked), true
}

// reverseName returns the name at which the PTR record of an IPv4 address is
// asked for (RFC 1035 section 3.5).
func reverseName(addr netip.Addr) string {
	a := addr.As4()
	return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa.", a[3], a[2], a[1], a[0])
}

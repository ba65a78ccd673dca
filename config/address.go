package config

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// addresses gives every name a stand-in address in within, an IPv4 prefix. The
// result depends on the set of names alone, so replicas and restarts agree: each
// name is hashed into the range, and in name order takes the next free address.
// Addresses ending in 0 or 255 look like networks and broadcasts, and programs of
// the machine use 127.0.0.0/16; both are left out. Fixed addresses win.
func addresses(names []string, fixed map[string]netip.Addr, within netip.Prefix) (map[string]netip.Addr, error) {
	taken := make(map[netip.Addr]bool)
	chosen := make(map[string]netip.Addr, len(names))
	for name, addr := range fixed {
		taken[addr] = true
		chosen[name] = addr
	}
	first := within.Masked().Addr().As4()
	base, size := binary.BigEndian.Uint32(first[:]), uint32(1)<<(32-within.Bits())
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range names {
		if _, ok := chosen[name]; ok {
			continue
		}
		h := fnv.New64a()
		h.Write([]byte(name))
		start := uint32(h.Sum64() % uint64(size))
		found := false
		for i := range size {
			addr := ipv4(base + (start+i)%size)
			if usable(addr) && !taken[addr] {
				taken[addr], chosen[name], found = true, addr, true
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("%s has no room for %d names", within, len(names))
		}
	}
	return chosen, nil
}

func ipv4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// usable reports whether addr may be a stand-in address: it ends in neither 0 nor
// 255, and is outside 127.0.0.0/16.
func usable(addr netip.Addr) bool {
	b := addr.As4()
	return b[3] != 0 && b[3] != 255 && (b[0] != 127 || b[1] != 0)
}

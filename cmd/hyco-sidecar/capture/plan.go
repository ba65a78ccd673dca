package capture

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// Lane is the way of connections to one endpoint.
type Lane struct {
	From netip.AddrPort // where the app connects
	To   netip.AddrPort // where that arrives, on the loopback interface
}

// Plan is every lane.
type Plan struct {
	Lanes []Lane // in the order of From
	// Canary leads from where nobody connects, which depends on all lanes: it can
	// only be gone if just these lanes are in place.
	Canary Lane
}

// NewPlan gives every endpoint its lane. It depends on the set of endpoints alone,
// so that what one process installs another can use.
func NewPlan(endpoints []netip.AddrPort, port uint16) Plan {
	endpoints = slices.Compact(slices.SortedFunc(slices.Values(endpoints), netip.AddrPort.Compare))
	places := newPlaces(endpoints, port)
	var p Plan
	for _, e := range endpoints {
		p.Lanes = append(p.Lanes, Lane{From: e, To: places.next(e.Addr())})
	}
	p.Canary = Lane{From: canary(p.Lanes, port), To: places.next(netip.IPv4Unspecified())}
	return p
}

// To is where connections to from arrive.
func (p Plan) To(from netip.AddrPort) netip.AddrPort {
	i, ok := slices.BinarySearchFunc(p.Lanes, from, func(l Lane, at netip.AddrPort) int { return l.From.Compare(at) })
	if !ok {
		return netip.AddrPort{}
	}
	return p.Lanes[i].To
}

// places are given out one by one.
type places struct {
	port  uint16              // of all IPv4 places, and of the first IPv6 place
	taken map[netip.Addr]bool // by stand-ins and by places
	last  netip.Addr          // before which all other addresses are taken
	six   int                 // IPv6 places so far
}

func newPlaces(endpoints []netip.AddrPort, port uint16) *places {
	p := &places{port: port, taken: make(map[netip.Addr]bool), last: netip.AddrFrom4([4]byte{127, 0, 0, 0})}
	for _, e := range endpoints {
		if e.Addr().IsLoopback() {
			p.taken[e.Addr()] = false // reserved for itself
		}
	}
	return p
}

// next is the place for connections to addr. A stand-in address is its own, where no
// other port of it was there first; others get what is free from 127.0.0.1 on. The
// loopback interface has but one IPv6 address, so there the port goes up.
func (p *places) next(addr netip.Addr) netip.AddrPort {
	if addr.Is6() {
		port := (int(p.port)-1+p.six)%65535 + 1
		p.six++
		return netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port))
	}
	if used, reserved := p.taken[addr]; !reserved || used {
		for {
			p.last = p.last.Next()
			if _, reserved := p.taken[p.last]; !reserved {
				addr = p.last
				break
			}
		}
	}
	p.taken[addr] = true
	return netip.AddrPortFrom(addr, p.port)
}

// version stands for the form of the rules. It changes with it, so that a sidecar
// does not take those of another version for its own.
const version = 1

// canary is an address that these lanes alone lead anywhere from.
func canary(lanes []Lane, port uint16) netip.AddrPort {
	h := fnv.New64a()
	fmt.Fprintln(h, version, port)
	for _, l := range lanes {
		fmt.Fprintln(h, l.From, l.To)
	}
	for {
		n := h.Sum64()
		// 127.192.0.0/10, without the broadcast address.
		addr := netip.AddrFrom4([4]byte{127, 192 + byte(n>>24%63), byte(n >> 16), byte(n >> 8)})
		at := netip.AddrPortFrom(addr, port)
		if !slices.ContainsFunc(lanes, func(l Lane) bool { return l.From == at || l.To == at }) {
			return at
		}
		h.Write([]byte{0})
	}
}

package plan

import "net/netip"

// Difference is what has to happen for one plan to follow another. Every endpoint of
// both plans is in exactly one of its lists, in the order of its plan.
type Difference struct {
	// Added are in the new plan only, or were elsewhere before: an endpoint whose
	// address or place of arrival is another one is both removed and added.
	Added []Endpoint
	// Removed were in the old plan, and are not accepted there any more.
	Removed []Endpoint
	// Kept are accepted at the same place as before. What is behind them, such as the
	// hybrid connection or the credential, may have changed.
	Kept []Endpoint
}

// Compare returns the difference between two plans. The zero Plan has no endpoints:
// the difference from it is all of to.
func Compare(from, to Plan) Difference {
	before := make(map[place]bool, len(from.Endpoints))
	for _, e := range from.Endpoints {
		before[placeOf(e)] = true
	}
	var d Difference
	after := make(map[place]bool, len(to.Endpoints))
	for _, e := range to.Endpoints {
		after[placeOf(e)] = true
		if before[placeOf(e)] {
			d.Kept = append(d.Kept, e)
		} else {
			d.Added = append(d.Added, e)
		}
	}
	for _, e := range from.Endpoints {
		if !after[placeOf(e)] {
			d.Removed = append(d.Removed, e)
		}
	}
	return d
}

// place is what a listener is bound for.
type place struct {
	name           string
	listen, arrive netip.AddrPort
}

func placeOf(e Endpoint) place { return place{e.Name, e.Listen, e.Arrive} }

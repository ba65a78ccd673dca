package dnsproxy

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// maxSiblings bounds the names reported, and with them the memory for reporting
// each of them once. A cluster has fewer members; what asks for more makes names
// up.
const maxSiblings = 64

// A Sibling is a name that an app asked for in vain and that differs from an own
// one in the first label only. Protocols that hand out further host names, such
// as Kafka's, lead to siblings: the own name is configured, its siblings are
// forgotten. Both names are in lower case and without a trailing dot.
//
// A Sibling holds names, which [Answered] and [Asked] do not, for it is of no use
// without. The app chooses them, so metrics must not be labelled with them.
type Sibling struct {
	Name       string // what was asked for
	Configured string // the own name that is most like it
}

// siblings finds each [Sibling] among the replies of upstreams.
type siblings struct {
	own  map[string][]string // own names by parent, which is in wire form and lower case
	log  *slog.Logger
	hook func(Sibling) // nil if nobody wants to know

	mu       sync.Mutex
	reported map[string]struct{} // names in wire form
}

// newSiblings indexes the names of a table. A name whose parent is a single
// label, such as contoso.com, has no siblings: the rest of com is none of ours.
func newSiblings(table *Table, log *slog.Logger, hook func(Sibling)) *siblings {
	s := &siblings{own: make(map[string][]string), log: log, hook: hook, reported: make(map[string]struct{})}
	for name := range table.All() {
		parent := parentOf(appendName(nil, name+"."))
		if len(parent) > 1 && len(parentOf(parent)) > 1 {
			s.own[string(parent)] = append(s.own[string(parent)], name)
		}
	}
	return s
}

// check reports a sibling if the reply of an upstream to q denies one. Only
// queries for addresses matter: with other types apps find out what there is, and
// that there is none is an answer.
func (s *siblings) check(ctx context.Context, q *query, reply []byte) {
	if rcodeOf(reply) != dns.RcodeNameError || q.qclass != dns.ClassINET ||
		q.qtype != dns.TypeA && q.qtype != dns.TypeAAAA || len(q.key) <= 1 {
		return
	}
	own := s.own[string(parentOf(q.key))]
	if own == nil || !s.addNew(q.key) {
		return
	}
	name, _, err := dns.UnpackDomainName(q.key, 0)
	if err != nil {
		return
	}
	found := Sibling{Name: strings.TrimSuffix(name, ".")}
	found.Configured = slices.MaxFunc(own, func(a, b string) int { return commonPrefix(a, found.Name) - commonPrefix(b, found.Name) })
	s.log.LogAttrs(ctx, slog.LevelInfo, "an app asked for a name next to a configured one, and no resolver knows it",
		slog.String("name", found.Name), slog.String("configured", found.Configured))
	if s.hook != nil {
		s.hook(found)
	}
}

// addNew adds a name to those reported, and says whether the caller is to report
// it: it is new, and there is room.
func (s *siblings) addNew(key []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, old := s.reported[string(key)]; old || len(s.reported) == maxSiblings {
		return false
	}
	s.reported[string(key)] = struct{}{}
	return true
}

// parentOf returns the name, in wire form and not the root, without its first
// label.
func parentOf(name []byte) []byte { return name[1+name[0]:] }

// commonPrefix returns how many bytes two names have in common at their start.
func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

package dnsproxy

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// mostSiblings bounds the names told of, and with them the memory for telling
// each of them once. A cluster has fewer members; what asks for more makes names
// up.
const mostSiblings = 64

// A Sibling is a name that an app asked for in vain and that differs from an own
// one in the first label only. Protocols that hand out further host names, such
// as Kafka's, lead to them: the own name is configured, its siblings are
// forgotten. Both are in lower case and without a trailing dot.
//
// Unlike the other reports it holds names, for it is of no use without. The
// app chooses them, so they are nothing to label metrics with.
type Sibling struct {
	Name       string // what was asked for
	Configured string // the own name that is most like it
}

// siblings finds them among the replies of upstreams.
type siblings struct {
	own  map[string][]string // own names by parent, which is in wire form and lower case
	log  *slog.Logger
	hook func(Sibling)

	mu   sync.Mutex
	told map[string]struct{} // names in wire form
}

// newSiblings indexes the names of a table. A name whose parent is a single
// label, such as contoso.com, has no siblings: the rest of com is none of ours.
func newSiblings(table *Table, log *slog.Logger, hook func(Sibling)) *siblings {
	s := &siblings{own: make(map[string][]string), log: log, hook: hook, told: make(map[string]struct{})}
	for name := range table.All() {
		parent := parentOf(appendName(nil, name+"."))
		if len(parent) > 1 && len(parentOf(parent)) > 1 {
			s.own[string(parent)] = append(s.own[string(parent)], name)
		}
	}
	return s
}

// replied looks at the reply of an upstream to q. Only addresses matter: with
// other types apps find out what there is, and a missing one is an answer.
func (s *siblings) replied(ctx context.Context, q *query, reply []byte) {
	if rcodeOf(reply) != dns.RcodeNameError || q.qclass != dns.ClassINET ||
		q.qtype != dns.TypeA && q.qtype != dns.TypeAAAA || len(q.key) <= 1 {
		return
	}
	own := s.own[string(parentOf(q.key))]
	if own == nil || !s.isNew(q.key) {
		return
	}
	name, _, err := dns.UnpackDomainName(q.key, 0)
	if err != nil {
		return
	}
	found := Sibling{Name: strings.TrimSuffix(name, ".")}
	found.Configured = slices.MaxFunc(own, func(a, b string) int { return common(a, found.Name) - common(b, found.Name) })
	s.log.LogAttrs(ctx, slog.LevelInfo, "an app asked for a name next to a configured one, and no resolver knows it",
		slog.String("name", found.Name), slog.String("configured", found.Configured),
		slog.String("next", "if the configured one sends its clients there, as Kafka, MongoDB and Redis Cluster do: "+
			"create a hybrid connection whose endpoint is this name and its port, and add it (HYCO_CONNECTION_N_ENDPOINT or HYCO_ENDPOINTS)"))
	if s.hook != nil {
		s.hook(found)
	}
}

// isNew reports whether a name is to be told of, and remembers it.
func (s *siblings) isNew(key []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, old := s.told[string(key)]; old || len(s.told) == mostSiblings {
		return false
	}
	s.told[string(key)] = struct{}{}
	return true
}

// parentOf returns the name, in wire form and not the root, without its first
// label.
func parentOf(name []byte) []byte { return name[1+name[0]:] }

// common returns the length of what two names begin with alike.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

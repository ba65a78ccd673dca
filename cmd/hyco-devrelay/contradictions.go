package main

import (
	"maps"
	"slices"
)

// contradictions are flags that do not go together, or with the entities.
func (s *settings) contradictions(fault func(string, ...any)) {
	for _, path := range slices.Sorted(maps.Keys(s.metadata)) {
		if !s.named(path) {
			fault("-metadata %s=…: no such entity is named", path)
		}
	}
	for _, path := range s.anonymous {
		if !s.named(path) {
			fault("-anonymous %s: no such entity is named", path)
		}
	}
	seen := map[string]bool{}
	for _, r := range s.rules {
		switch {
		case r.entity != "" && !s.named(r.entity):
			fault("-rule %s: no such entity is named", r.name())
		case r.Name == senderRule || r.Name == listenerRule:
			fault("-rule %s: every entity has this rule; -send-key and -listen-key set its key", r.name())
		case seen[r.name()]:
			fault("-rule %s: was given before", r.name())
		}
		seen[r.name()] = true
	}
}

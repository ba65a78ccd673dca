package credential

import (
	"maps"
	"slices"
	"strings"

	"hyco-sidecar/config"
)

// rejection is reported once: it stays what it is while another file changes.
type rejection struct{ variable, problem, content string }

// Reload compares the files of secrets with what is in use, and adopts those that
// have changed and make sense. One that makes none may be half-written: it is
// reported once, and only if it is unchanged at the next call; again asks for that
// call in a moment. A hasty call adopts, and leaves reports to a later call.
func (s *Set) Reload(hasty bool) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := make(map[string]string, len(s.used))
	for path := range s.used {
		now[path], _ = config.ReadFile(path) // one that cannot be read is empty, which the settings refuse
	}
	known := maps.Equal(now, s.seen)
	if known && maps.Equal(now, s.used) {
		return false
	}
	rejected := s.adoptLocked(now) // again where it was rejected: what stood against it may have changed
	switch {
	case len(rejected) == 0:
	case hasty:
		return false
	case !known && !maps.Equal(now, s.doubted):
		s.doubted = now
		return true
	}
	before := s.reported
	s.seen, s.doubted, s.reported = now, nil, make(map[rejection]bool)
	for _, f := range rejected {
		path, _ := s.fileLocked(f.Variable)
		r := rejection{f.Variable, f.Problem, now[path]}
		s.reported[r] = true
		if before[r] {
			continue
		}
		s.log.Warn("a changed secret is not used", "variable", f.Variable, "error", f.Problem,
			"next", f.Remedy+"; until then the old one is used")
		s.hooks.Reloaded(false)
	}
	return false
}

// adoptLocked uses those of the contents that make sense, and returns what is wrong
// with the rest.
func (s *Set) adoptLocked(now map[string]string) (rejected []*config.Fault) {
	try := maps.Clone(now)
	for {
		cfg, faults := s.parseLocked(try)
		if len(faults) == 0 {
			s.useLocked(cfg, try)
			return rejected
		}
		rejected = append(rejected, faults...)
		kept := false
		keep := func(variable string) bool {
			path, ok := s.fileLocked(variable)
			changed := ok && try[path] != s.used[path]
			if changed {
				try[path], kept = s.used[path], true
			}
			return changed
		}
		for _, f := range faults {
			if keep(f.Variable) {
				continue
			}
			// What stands against the other string of the two is said of that one.
			if other := companion(f.Variable); keep(other) {
				f.Variable, f.Problem = other, f.Variable+": "+f.Problem
			}
		}
		if !kept {
			return rejected // the fault is between a file and what else is set
		}
	}
}

// companion is the variable of the other connection string for the same hybrid
// connections.
func companion(variable string) string {
	if first, ok := strings.CutSuffix(variable, "SECONDARY_CONNECTION_STRING"); ok {
		return first + "CONNECTION_STRING"
	}
	first, _ := strings.CutSuffix(variable, "CONNECTION_STRING")
	return first + "SECONDARY_CONNECTION_STRING"
}

// parseLocked reads the settings with the files' contents replaced.
func (s *Set) parseLocked(contents map[string]string) (config.Config, []*config.Fault) {
	cfg, err := config.LoadFrom(s.environ, func(path string) (string, error) {
		if text := contents[path]; text != "" {
			return text, nil
		}
		return config.ReadFile(path) // which says why there is nothing
	})
	if err != nil {
		return cfg, config.Faults(err)
	}
	var faults []*config.Fault
	said := make(map[string]bool)
	for i, c := range cfg.Connections {
		problem := ""
		switch old := s.endpoints[i].settings; {
		case c.Namespace != old.Namespace || c.Entity != old.Entity:
			problem = "it is for another namespace or hybrid connection than before"
		case c.Credential.None() && !old.Credential.None():
			problem = "it holds no key, as it did before"
		case (c.Credential.Entra || c.Secondary.Entra) && s.identities.source(c.Namespace) == nil:
			problem = "it asks for an identity of Entra ID, as none did before"
		}
		if problem != "" && !said[c.Source] {
			said[c.Source] = true
			faults = append(faults, &config.Fault{Variable: c.Source, Problem: problem, Remedy: "restart the sidecar to use it"})
		}
	}
	return cfg, faults
}

// fileLocked is the path that a variable's value was read from; ok is false for one
// that was not read from a file.
func (s *Set) fileLocked(variable string) (path string, ok bool) {
	variable = strings.TrimSuffix(variable, "_FILE")
	for _, kv := range s.environ {
		if name, value, _ := strings.Cut(kv, "="); name == variable+"_FILE" {
			path = strings.TrimSpace(value)
			_, ok = s.used[path]
			return path, ok
		}
	}
	return "", false
}

// useLocked has every endpoint present what cfg says from now on.
func (s *Set) useLocked(cfg config.Config, contents map[string]string) {
	s.used = contents
	changed := make(map[string]int) // endpoints, by the variable of their connection string
	for i, c := range cfg.Connections {
		if one := s.endpoints[i]; s.exchangeLocked(one, c) {
			s.describeLocked(one)
			changed[c.Source]++
		}
	}
	for _, variable := range slices.Sorted(maps.Keys(changed)) {
		s.log.Info("secret changed", "variable", variable, "endpoints", changed[variable])
		s.hooks.Reloaded(true)
	}
	s.wakeExpiry()
}

package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// credentials are what the endpoints present to their relays, held to what the
// files of secrets say.
type credentials struct {
	environ    []string
	identities *identities
	monitor    *admin.Monitor
	log        *slog.Logger

	changed chan struct{} // holds one: expiries have to be looked at again

	mu        sync.Mutex
	endpoints []presented       // in the order of the settings
	used      map[string]string // the files' contents that are in use, by path
	seen      map[string]string // those last looked at
	doubted   map[string]string // those that made no sense a moment ago
	told      map[rejection]bool
}

// rejection is one that is told of once: while another file changes it stays.
type rejection struct{ variable, problem, content string }

// presented is what one endpoint presents.
type presented struct {
	name     string
	settings config.Connection
	sources  []relayclient.TokenSource // of Credential, and of Secondary where there is one
	rollover *relayclient.Rollover
}

// newCredentials makes those of cfg, which was read from environ.
func newCredentials(environ []string, cfg config.Config, ids *identities, log *slog.Logger) *credentials {
	k := &credentials{environ: environ, identities: ids, log: log, changed: make(chan struct{}, 1), used: make(map[string]string)}
	for _, path := range cfg.SecretFiles {
		k.used[path] = cfg.Text(path)
	}
	k.seen = maps.Clone(k.used)
	for _, c := range cfg.Connections {
		p := presented{name: name(c), settings: c, sources: ids.both(c)}
		p.rollover = relayclient.NewRollover(p.sources...)
		k.endpoints = append(k.endpoints, p)
	}
	return k
}

// both are a connection's credentials, the preferred one first.
func both(c config.Connection) []config.Credential {
	if c.Secondary.None() {
		return []config.Credential{c.Credential}
	}
	return []config.Credential{c.Credential, c.Secondary}
}

// both makes the sources of both.
func (ids *identities) both(c config.Connection) (sources []relayclient.TokenSource) {
	for _, credential := range both(c) {
		sources = append(sources, ids.tokens(c.Namespace, credential))
	}
	return sources
}

// credentialsOf names both.
func credentialsOf(c config.Connection, kind config.IdentityKind) string {
	var names []string
	for _, one := range both(c) {
		names = append(names, shown(one, kind))
	}
	return strings.Join(names, ", then ")
}

// tell has monitor and log learn what becomes of the credentials. It is called
// before the first dial.
func (k *credentials) tell(monitor *admin.Monitor) {
	k.monitor = monitor
	for i := range k.endpoints {
		p := &k.endpoints[i]
		k.describe(p)
		p.rollover.Hooks = relayclient.RolloverHooks{
			Refused: func(credential int, _ *relayclient.DialError) {
				monitor.CredentialRefused(p.name, credential)
				k.look(true) // the secret may have changed this very moment
			},
			Using: func(credential int, why *relayclient.DialError) {
				monitor.CredentialInUse(p.name, credential)
				k.turned(p.name, credential, why)
			},
		}
	}
}

// apart are an endpoint's credentials for questions that say nothing of whether
// dials may use them: a key that may send need not have the right to ask.
func (k *credentials) apart(endpoint int) *relayclient.Rollover {
	k.mu.Lock()
	defer k.mu.Unlock()
	return relayclient.NewRollover(k.endpoints[endpoint].sources...)
}

// turned writes the line about another credential that is used from now on.
func (k *credentials) turned(endpoint string, credential int, why *relayclient.DialError) {
	ctx := context.Background()
	if credential == 0 {
		k.log.LogAttrs(ctx, slog.LevelInfo, "the first credential works again", slog.String("endpoint", endpoint))
		return
	}
	attrs := []slog.Attr{slog.String("endpoint", endpoint)}
	if why != nil && why.Stage == relayclient.StageToken {
		k.log.LogAttrs(ctx, slog.LevelWarn, "there is no token of a credential, using the other", append(attrs,
			slog.Any("error", why), slog.String("reason", why.Reason()))...)
		return
	}
	if why != nil {
		attrs = append(attrs, slog.Any("error", why), slog.String("reason", why.Reason()), slog.Int("status", why.Status), slog.String("phrase", why.Phrase))
	}
	k.log.LogAttrs(ctx, slog.LevelWarn, "the relay refused a credential, using the other", attrs...)
}

// describe tells the monitor what an endpoint presents.
func (k *credentials) describe(p *presented) {
	var all []admin.Credential
	for _, c := range both(p.settings) {
		all = append(all, admin.Credential{Name: credential(c, k.identities.kind), Expires: expiry(c)})
	}
	k.monitor.Credentials(p.name, all, p.rollover.Using())
}

// look compares the files with what is in use, and uses what has changed and is
// right. What is not may be a file that is being written: it is reported once, and
// only when it is the same at another look, which look asks for. A hasty one
// leaves all of that to the next.
func (k *credentials) look(hasty bool) (again bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := make(map[string]string, len(k.used))
	for path := range k.used {
		now[path], _ = config.ReadFile(path) // one that cannot be read is empty, which the settings refuse
	}
	known := maps.Equal(now, k.seen)
	if known && maps.Equal(now, k.used) {
		return false
	}
	rejected := k.adopt(now) // again where it was rejected: what stood against it may have changed
	switch {
	case len(rejected) == 0:
	case hasty:
		return false
	case !known && !maps.Equal(now, k.doubted):
		k.doubted = now
		return true
	}
	before := k.told
	k.seen, k.doubted, k.told = now, nil, make(map[rejection]bool)
	for _, f := range rejected {
		path, _ := k.file(f.Variable)
		r := rejection{f.Variable, f.Problem, now[path]}
		k.told[r] = true
		if before[r] {
			continue
		}
		k.log.Warn("a changed secret is not used", "variable", f.Variable, "error", f.Problem,
			"next", f.Remedy+"; until then the old one is used")
		k.monitor.Reloaded(false)
	}
	return false
}

// adopt uses those of the contents that make sense, and returns what is wrong
// with the rest.
func (k *credentials) adopt(now map[string]string) (rejected []*config.Fault) {
	try := maps.Clone(now)
	for {
		cfg, faults := k.parse(try)
		if len(faults) == 0 {
			k.use(cfg, try)
			return rejected
		}
		rejected = append(rejected, faults...)
		kept := false
		keep := func(variable string) bool {
			path, ok := k.file(variable)
			changed := ok && try[path] != k.used[path]
			if changed {
				try[path], kept = k.used[path], true
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

// parse reads the settings with the files' contents replaced.
func (k *credentials) parse(contents map[string]string) (config.Config, []*config.Fault) {
	cfg, err := config.LoadFrom(k.environ, func(path string) (string, error) {
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
		switch old := k.endpoints[i].settings; {
		case c.Namespace != old.Namespace || c.Entity != old.Entity:
			problem = "it is for another namespace or hybrid connection than before"
		case c.Credential.None() && !old.Credential.None():
			problem = "it holds no key, as it did before"
		case (c.Credential.Entra || c.Secondary.Entra) && !k.identities.has(c.Namespace):
			problem = "it asks for an identity of Entra ID, as none did before"
		}
		if problem != "" && !said[c.Source] {
			said[c.Source] = true
			faults = append(faults, &config.Fault{Variable: c.Source, Problem: problem, Remedy: "restart the sidecar to use it"})
		}
	}
	return cfg, faults
}

// file is the one that a variable's value was read from.
func (k *credentials) file(variable string) (path string, ok bool) {
	variable = strings.TrimSuffix(variable, "_FILE")
	for _, kv := range k.environ {
		if name, value, _ := strings.Cut(kv, "="); name == variable+"_FILE" {
			path = strings.TrimSpace(value)
			_, ok = k.used[path]
			return path, ok
		}
	}
	return "", false
}

// use presents what cfg says from now on.
func (k *credentials) use(cfg config.Config, contents map[string]string) {
	k.used = contents
	changed := make(map[string]int) // endpoints, by the variable of their connection string
	for i, c := range cfg.Connections {
		p := &k.endpoints[i]
		was, is := both(p.settings), both(c)
		if slices.EqualFunc(was, is, config.Credential.Equal) {
			continue
		}
		var sources []relayclient.TokenSource
		for _, credential := range is {
			j := slices.IndexFunc(was, credential.Equal)
			if j >= 0 {
				sources = append(sources, p.sources[j])
			} else {
				sources = append(sources, k.identities.tokens(c.Namespace, credential))
			}
		}
		p.settings.Credential, p.settings.Secondary, p.sources = c.Credential, c.Secondary, sources
		p.rollover.Replace(sources...)
		k.describe(p)
		changed[c.Source]++
	}
	for _, variable := range slices.Sorted(maps.Keys(changed)) {
		k.log.Info("secret changed", "variable", variable, "endpoints", changed[variable])
		k.monitor.Reloaded(true)
	}
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

package credential

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// Set is what the endpoints present, kept in step with the secret files. Make it with
// [New]; its methods may be called from any goroutine.
type Set struct {
	environ    []string
	identities *Identities
	hooks      Hooks
	log        *slog.Logger

	changed chan struct{} // holds one: expiries have to be looked at again

	mu        sync.Mutex
	kind      config.IdentityKind // of the settings' identity of Entra ID
	endpoints []*presented        // in the order of the settings
	used      map[string]string   // the files' contents that are in use, by path
	seen      map[string]string   // those last looked at
	doubted   map[string]string   // those that made no sense a moment ago
	reported  map[rejection]bool
}

// presented is what one endpoint presents.
type presented struct {
	name     string
	settings config.Connection
	sources  []relayclient.TokenSource // of Credential, and of Secondary where there is one
	rollover *relayclient.Rollover
}

// Options are what a Set is made of.
type Options struct {
	// Environ are the variables that the settings were read from: a file that has
	// changed is read together with them.
	Environ []string
	// Identities have the sources for credentials of Entra ID. Required.
	Identities *Identities
	// Hooks are told what becomes of the credentials.
	Hooks Hooks
	// Logger gets a line for each change. Nil discards them.
	Logger *slog.Logger
}

// Hooks are told what becomes of an endpoint's credentials, which are numbered from 0,
// the preferred one. Each may be nil, and must not call the Set.
type Hooks struct {
	// Presents is called with all that an endpoint presents, whenever that changes, and
	// with the number of the one in use.
	Presents func(endpoint string, all []Presented, using int)
	// Refused is called when the relay refuses a credential, or no token can be obtained for it.
	Refused func(endpoint string, credential int)
	// Using is called when another credential is used from now on.
	Using func(endpoint string, credential int)
	// Reloaded is called for each changed secret, with whether it is used.
	Reloaded func(adopted bool)
}

// Presented is one credential as it may be shown.
type Presented struct {
	Name    string
	Expires time.Time // when a ready-made signature ends; zero for what is made as needed
}

// New returns a Set without endpoints.
func New(o Options) *Set {
	s := &Set{environ: o.Environ, identities: o.Identities, hooks: o.Hooks, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), changed: make(chan struct{}, 1)}
	if s.hooks.Presents == nil {
		s.hooks.Presents = func(string, []Presented, int) {}
	}
	if s.hooks.Refused == nil {
		s.hooks.Refused = func(string, int) {}
	}
	if s.hooks.Using == nil {
		s.hooks.Using = func(string, int) {}
	}
	if s.hooks.Reloaded == nil {
		s.hooks.Reloaded = func(bool) {}
	}
	return s
}

// Apply makes the plan's endpoints the Set's. One that was there before, by its name,
// keeps its rollover, and so the state of what was refused; what it presents becomes
// what the plan says.
func (s *Set) Apply(p plan.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identities.apply(p.Config)
	s.kind = Kind(p.Config)
	before := make(map[string]*presented, len(s.endpoints))
	for _, one := range s.endpoints {
		before[one.name] = one
	}
	s.endpoints = make([]*presented, 0, len(p.Endpoints))
	for _, e := range p.Endpoints {
		one := before[e.Name]
		if one == nil {
			one = s.newPresented(e)
		} else {
			s.exchangeLocked(one, e.Connection)
		}
		one.settings = e.Connection
		s.endpoints = append(s.endpoints, one)
		s.describeLocked(one)
	}
	s.used = make(map[string]string, len(p.Config.SecretFiles))
	for _, path := range p.Config.SecretFiles {
		s.used[path] = p.Config.Text(path)
	}
	s.seen, s.doubted, s.reported = maps.Clone(s.used), nil, nil
	s.wakeExpiry()
}

// newPresented is what an endpoint presents from its first connection on.
func (s *Set) newPresented(e plan.Endpoint) *presented {
	one := &presented{name: e.Name, sources: s.identities.Tokens(e.Connection)}
	one.rollover = relayclient.NewRollover(one.sources...)
	one.rollover.Hooks = relayclient.RolloverHooks{
		Refused: func(credential int, _ *relayclient.DialError) {
			s.hooks.Refused(one.name, credential)
			s.Reload(true) // the secret may have changed this very moment
		},
		Using: func(credential int, why *relayclient.DialError) {
			s.hooks.Using(one.name, credential)
			s.logUse(one.name, credential, why)
		},
	}
	return one
}

// exchangeLocked makes an endpoint present what c says, and reports whether that differs
// from what it presented.
func (s *Set) exchangeLocked(one *presented, c config.Connection) (changed bool) {
	was, is := both(one.settings), both(c)
	moved := c.Namespace != one.settings.Namespace // where another identity's tokens may be asked for
	if !moved && slices.EqualFunc(was, is, config.Credential.Equal) {
		return false
	}
	var sources []relayclient.TokenSource
	for _, credential := range is {
		if i := slices.IndexFunc(was, credential.Equal); i >= 0 && !moved {
			sources = append(sources, one.sources[i])
		} else {
			sources = append(sources, s.identities.tokens(c.Namespace, credential))
		}
	}
	one.settings.Credential, one.settings.Secondary, one.sources = c.Credential, c.Secondary, sources
	one.rollover.Replace(sources...)
	return true
}

// describeLocked tells the hook what an endpoint presents.
func (s *Set) describeLocked(one *presented) {
	var all []Presented
	for _, c := range both(one.settings) {
		all = append(all, Presented{Name: name(c, s.kind), Expires: expiry(c)})
	}
	s.hooks.Presents(one.name, all, one.rollover.Using())
}

// Tokens is what dials to an endpoint present; nil for one that the Set does not have.
func (s *Set) Tokens(endpoint string) *relayclient.Rollover {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.findLocked(endpoint); one != nil {
		return one.rollover
	}
	return nil
}

// ForQueries is what questions about an endpoint present: a rollover of its own,
// whose refusals do not affect dials, for a key that may send need not have the right
// to ask. It is nil for an endpoint that the Set does not have.
func (s *Set) ForQueries(endpoint string) *relayclient.Rollover {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.findLocked(endpoint); one != nil {
		return relayclient.NewRollover(one.sources...)
	}
	return nil
}

// findLocked is the endpoint of that name, nil if there is none.
func (s *Set) findLocked(endpoint string) *presented {
	i := slices.IndexFunc(s.endpoints, func(one *presented) bool { return one.name == endpoint })
	if i < 0 {
		return nil
	}
	return s.endpoints[i]
}

// logUse writes the line about another credential that is used from now on.
func (s *Set) logUse(endpoint string, credential int, why *relayclient.DialError) {
	ctx := context.Background()
	if credential == 0 {
		s.log.LogAttrs(ctx, slog.LevelInfo, "the first credential works again", slog.String("endpoint", endpoint))
		return
	}
	attrs := []slog.Attr{slog.String("endpoint", endpoint)}
	if why != nil && why.Stage == relayclient.StageToken {
		s.log.LogAttrs(ctx, slog.LevelWarn, "no token for a credential, using the other", append(attrs,
			slog.Any("error", why), slog.String("reason", why.Reason()))...)
		return
	}
	if why != nil {
		attrs = append(attrs, slog.Any("error", why), slog.String("reason", why.Reason()), slog.Int("status", why.Status), slog.String("phrase", why.Phrase))
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "the relay refused a credential, using the other", attrs...)
}

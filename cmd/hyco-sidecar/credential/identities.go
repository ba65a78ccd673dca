package credential

import (
	"maps"
	"net"
	"slices"
	"sync"

	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// Identities are the sources of Entra ID's tokens: one for all relays of a cloud.
// Nil has none. Its methods may be called from any goroutine. Whoever made it closes
// it.
type Identities struct {
	options identity.Options

	mu      sync.Mutex
	sources map[string]*identity.Source // by audience
}

// NewIdentities returns the sources that the settings need, which ask for nothing yet.
// Of o, RootCAs and Control are the settings' in any case.
func NewIdentities(cfg config.Config, o identity.Options) *Identities {
	o.RootCAs, o.Control = cfg.RootCAs, plan.Control(cfg)
	if o.Resolver == nil && o.Control != nil {
		o.Resolver = &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: o.Control}).DialContext}
	}
	ids := &Identities{options: o, sources: make(map[string]*identity.Source)}
	ids.apply(cfg)
	return ids
}

// apply makes the sources that cfg needs and that are not there yet. One that is not
// needed any more stays until Close: an open dial may wait for its token.
func (ids *Identities) apply(cfg config.Config) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	for _, c := range cfg.Connections {
		audience := identity.Audience(c.Namespace)
		if (c.Credential.Entra || c.Secondary.Entra) && ids.sources[audience] == nil {
			ids.sources[audience] = identity.New(cfg.Entra, c.Namespace, ids.options)
		}
	}
}

// Tokens are the sources of a connection's credentials, the preferred one first, as
// [relayclient.NewRollover] takes them. Nil among them presents no token, as for a
// hybrid connection without client authorization.
func (ids *Identities) Tokens(c config.Connection) []relayclient.TokenSource {
	var sources []relayclient.TokenSource
	for _, credential := range both(c) {
		sources = append(sources, ids.tokens(c.Namespace, credential))
	}
	return sources
}

func (ids *Identities) tokens(namespace string, c config.Credential) relayclient.TokenSource {
	switch {
	case c.Entra:
		return ids.source(namespace)
	case !c.Signature.Empty():
		return relayclient.NewSharedAccessSignature(c.Signature.Reveal())
	case !c.Key.Empty():
		return relayclient.NewSASKey(c.KeyName, c.Key.Reveal())
	}
	return nil
}

// source is the one for the relay at namespace; nil if there is none.
func (ids *Identities) source(namespace string) *identity.Source {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	return ids.sources[identity.Audience(namespace)]
}

// Sources returns the sources, sorted by their audiences.
func (ids *Identities) Sources() []*identity.Source {
	if ids == nil {
		return nil
	}
	ids.mu.Lock()
	defer ids.mu.Unlock()
	var all []*identity.Source
	for _, audience := range slices.Sorted(maps.Keys(ids.sources)) {
		all = append(all, ids.sources[audience])
	}
	return all
}

// Start fetches the first tokens beside the caller, so that the first connection
// finds one.
func (ids *Identities) Start() {
	for _, source := range ids.Sources() {
		source.Start()
	}
}

// Close ends all fetching, and waits until it has ended.
func (ids *Identities) Close() {
	for _, source := range ids.Sources() {
		source.Close()
	}
}

// Hosts are the names that this process looks up to get tokens.
func (ids *Identities) Hosts() []string {
	var all []string
	for _, source := range ids.Sources() {
		if source.Host() != "" {
			all = append(all, source.Host())
		}
	}
	return all
}

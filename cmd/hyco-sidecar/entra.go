package main

import (
	"net"
	"slices"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// identities are the sources of tokens of Entra ID: one for all relays of a
// cloud. Nil has none.
type identities struct {
	kind    config.IdentityKind
	sources map[string]*identity.Source // by audience
}

// newIdentities makes what the connections need, and asks for nothing yet.
func newIdentities(cfg config.Config, o identity.Options) *identities {
	ids := &identities{kind: kindOf(cfg), sources: make(map[string]*identity.Source)}
	o.RootCAs, o.Control = cfg.RootCAs, control(cfg)
	if o.Resolver == nil && o.Control != nil {
		o.Resolver = &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: o.Control}).DialContext}
	}
	for _, c := range cfg.Connections {
		audience := identity.Audience(c.Namespace)
		if (c.Credential.Entra || c.Secondary.Entra) && ids.sources[audience] == nil {
			ids.sources[audience] = identity.New(cfg.Entra, c.Namespace, o)
		}
	}
	return ids
}

// has reports whether there is a source for the relay at namespace.
func (ids *identities) has(namespace string) bool {
	return ids.sources[identity.Audience(namespace)] != nil
}

// tokens is the source of a credential's for the relay at namespace; nil for a
// hybrid connection without client authorization.
func (ids *identities) tokens(namespace string, c config.Credential) relayclient.TokenSource {
	switch {
	case c.Entra:
		return ids.sources[identity.Audience(namespace)]
	case !c.Signature.Empty():
		return relayclient.NewSharedAccessSignature(c.Signature.Reveal())
	case !c.Key.Empty():
		return relayclient.NewSASKey(c.KeyName, c.Key.Reveal())
	}
	return nil
}

// all returns the sources, one after the other in the same order.
func (ids *identities) all() []*identity.Source {
	if ids == nil {
		return nil
	}
	audiences := make([]string, 0, len(ids.sources))
	for audience := range ids.sources {
		audiences = append(audiences, audience)
	}
	slices.Sort(audiences)
	all := make([]*identity.Source, 0, len(audiences))
	for _, audience := range audiences {
		all = append(all, ids.sources[audience])
	}
	return all
}

// start has the first tokens fetched, so that the first connection finds one.
func (ids *identities) start() {
	for _, source := range ids.all() {
		source.Start()
	}
}

func (ids *identities) close() {
	for _, source := range ids.all() {
		source.Close()
	}
}

func (ids *identities) tokenStats() []admin.TokenStats {
	var all []admin.TokenStats
	for _, source := range ids.all() {
		all = append(all, admin.TokenStats(source.TokenStats()))
	}
	return all
}

// hosts are the names that this process looks up to get tokens.
func (ids *identities) hosts() []string {
	var all []string
	for _, source := range ids.all() {
		if source.Host() != "" {
			all = append(all, source.Host())
		}
	}
	return all
}

// credential names what is presented, and with Entra ID how the identity proves
// itself.
func credential(c config.Credential, kind config.IdentityKind) string {
	if c.Entra {
		return c.String() + " (" + string(kind) + ")"
	}
	return c.String()
}

// kindOf is how the settings' identity proves itself, if there is one.
func kindOf(cfg config.Config) config.IdentityKind {
	if cfg.Entra == nil {
		return ""
	}
	return cfg.Entra.Kind
}

package credential

import (
	"strings"
	"time"

	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// both are a connection's credentials, the preferred one first.
func both(c config.Connection) []config.Credential {
	if c.Secondary.None() {
		return []config.Credential{c.Credential}
	}
	return []config.Credential{c.Credential, c.Secondary}
}

// Names says what a connection presents, with the end of what ends by itself: "key
// send, then key send2".
func Names(c config.Connection, kind config.IdentityKind) string {
	var names []string
	for _, one := range both(c) {
		text := name(one, kind)
		if expires := expiry(one); !expires.IsZero() {
			text += " until " + expires.UTC().Format(time.RFC3339)
		}
		names = append(names, text)
	}
	return strings.Join(names, ", then ")
}

// name is what is presented, and with Entra ID how the identity proves itself.
func name(c config.Credential, kind config.IdentityKind) string {
	if c.Entra {
		return c.String() + " (" + string(kind) + ")"
	}
	return c.String()
}

// expiry is when a ready-made signature ends, zero for what is made as needed.
func expiry(c config.Credential) time.Time {
	if c.Signature.Empty() {
		return time.Time{}
	}
	return relayclient.NewSharedAccessSignature(c.Signature.Reveal()).Expiry()
}

// Kind is how the settings' identity of Entra ID proves itself; empty without one.
func Kind(cfg config.Config) config.IdentityKind {
	if cfg.Entra == nil {
		return ""
	}
	return cfg.Entra.Kind
}

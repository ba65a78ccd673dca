package sidecar

import (
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// The parts do not import each other: what one asks of another's values beyond their
// types, it asks by methods that it looks for while it runs. A method that is renamed
// would compile and be missed in silence; here it does not compile.

// What forwarder looks for in the connections that its Dial returns.
var _ interface {
	forwarder.HalfCloser
	forwarder.EndTeller
	forwarder.TargetTeller
	forwarder.ReadWaiter
} = (*relayclient.Conn)(nil)

// What forwarder looks for in the error of its Dial: the label and the attributes of
// the connection's log line.
var _ interface {
	forwarder.Reasoner
	forwarder.LogAttrer
} = (*relayclient.DialError)(nil)

// What relayclient asks of a source of tokens, and discovery of the errors that
// metadata leads to.
var (
	_ relayclient.TokenSource = (*identity.Source)(nil)
	_ forwarder.Reasoner      = (*relayclient.MetadataError)(nil)
)

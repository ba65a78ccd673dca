package sidecar

import (
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// The parts do not import each other: optional methods of each other's values are found
// by type assertion at run time. A method that is renamed would compile and not be
// found; here it does not compile.

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

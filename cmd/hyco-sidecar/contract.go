package main

import (
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// forwarder asks for these methods at run time, and does without where they are
// missing: a renamed method has to fail here.
var (
	_ interface {
		forwarder.HalfCloser
		forwarder.EndTeller
		forwarder.TargetTeller
		forwarder.ReadWaiter
	} = (*relayclient.Conn)(nil)
	_ interface {
		forwarder.Reasoner
		forwarder.LogAttrer
	} = (*relayclient.DialError)(nil)
)

// Package credential holds what the endpoints present to their relays, and keeps it
// up to date while the sidecar runs.
//
// It owns one rollover between a first and a secondary credential per endpoint
// ([Set.Tokens]), the sources of Entra ID's tokens behind them ([Identities]), the
// re-reading of files of secrets ([Set.Reload]) and the warnings before a ready-made
// signature ends ([Set.WatchExpiry]). A [Set] learns its endpoints from one call of
// [Set.Apply], which may come again while connections are made.
//
// It never watches files, dials, or chooses between credentials: others call Reload,
// and relayclient's Rollover chooses. It logs no secret; what it says names a
// credential by its key's name or its kind.
package credential

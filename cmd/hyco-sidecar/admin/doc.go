// Package admin shows what the sidecar does, to people and to machines: probes,
// metrics, and a status page with its JSON.
//
// A [Monitor] is told by the hooks of the other parts and keeps the facts;
// [Status] and the metrics are two views of these. A [Server] serves them over
// HTTP. Nothing here asks the relay anything: a probe that depends on a remote
// service takes healthy apps down with it.
package admin

// Package admin shows what the sidecar does to people and machines: probes,
// metrics, and a status page with its JSON.
package admin

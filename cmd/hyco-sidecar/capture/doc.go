// Package capture has the kernel lead an app's connections to the sidecar, so that
// no endpoint's port has to be bound: rules of nftables change the destination of
// connections that begin in this network namespace.
//
// Every endpoint has a place of its own where its connections arrive, a [Lane]: one
// port, on a loopback address each. A single place for all would do until an app
// uses one of its ports for connections to two endpoints, as it may. The two would
// then be the same to the kernel, which gives one of them another port on the app's
// side, and whoever looks for that connection in the kernel's tables finds
// nothing, or another's: whether the app has closed it could not be told.
//
// Connections of the sidecar itself are left alone: see [Exempt].
//
// The rules are one table, which is put in place whole. So it does not matter what a
// predecessor has left behind.
package capture

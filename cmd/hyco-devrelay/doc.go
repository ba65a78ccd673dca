// Hyco-devrelay is a stand-in of Azure Relay for developing and demonstrating
// hyco-sidecar without Azure: a relay with one Hybrid Connection Manager like
// listener for each hybrid connection that has a target.
//
// It is not a relay for production: its keys are printed, and nothing in it is
// hardened.
package main

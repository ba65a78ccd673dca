// Package fakeentra stands in for Entra ID and for the endpoints of managed
// identities, for tests. A [Server] checks every proof of an identity as the
// real ones do, by its signature where there is one, and makes tokens that
// [Server.Accepts] tells from all others. It shares no code with the client's
// library.
package fakeentra

// Package identity gets tokens of Entra ID for Azure Relay.
//
// A [Source] asks for a token as soon as it is started, keeps it, and asks for
// the next one while a good part of the old one's life is left. All this happens
// beside the connections: they are given the token that is there, and wait only
// where none is. How an identity proves itself is azidentity's business, which
// only this package imports; what went wrong is told in words of our own, since
// azidentity's errors quote whole answers.
package identity

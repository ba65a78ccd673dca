// Package fakelistener is the on-premises half of a hybrid connection, in the
// characters that are met in the field: each [Personality] accepts connections
// and ends them as one known listener does.
//
// It speaks the relay's protocol frame by frame (RFC 6455 section 5) without a
// client library, so that tests of one share none of its blind spots.
package fakelistener

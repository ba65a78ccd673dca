// Package config turns the environment into a [Config], or into one report of
// everything that is wrong with it.
//
// The variables are the fields of settings (settings.go), read by
// github.com/caarlos0/env as text; Load (load.go) gives the text its meaning, so
// that every fault names its variable and what to write instead. Stand-in
// addresses are a pure function of the set of host names (address.go).
//
// Secrets are of type [Secret], which no printer shows, and no fault quotes a
// value that may be one.
package config

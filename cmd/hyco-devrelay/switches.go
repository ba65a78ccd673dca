package main

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// switches are what nobody outside Azure knows of it. The first value of each is
// the default.
type switches struct {
	unknownEntity choice
	missingRight  choice
	acceptTimeout choice
	closeCodes    choice
	names         choice
	expiryLeeway  time.Duration
	idleCut       time.Duration // 0 = never
}

// serviceIdleCut and libraryPong are Azure's, as seen: its idle cut, and the pace
// at which the official listeners keep their sockets open.
const (
	serviceIdleCut = 240 * time.Second
	libraryPong    = 210 * time.Second
)

func (s *switches) define(f *flag.FlagSet) {
	for _, d := range []struct {
		choice *choice
		flag   string
		values []string
		usage  string
	}{
		{&s.unknownEntity, "unknown-entity", []string{"404", "401"}, "`status` for an entity that does not exist, to a token of another entity's rule"},
		{&s.missingRight, "missing-right", []string{"401", "403"}, "`status` for a good token without the right that is needed"},
		{&s.acceptTimeout, "accept-timeout-status", []string{"504", "404"}, "`status` after -accept-timeout"},
		{&s.closeCodes, "close-codes", []string{"passed", "rewritten"},
			"`how` code and reason of a Close reach the other side; rewritten: 1000 to senders, 1001 to listeners"},
		{&s.names, "names", []string{"exact", "any-case"}, "`how` the names of entities are compared"},
	} {
		d.choice.values = d.values
		f.Var(d.choice, d.flag, d.usage+": "+strings.Join(d.values, " or "))
	}
	f.DurationVar(&s.expiryLeeway, "expiry-leeway", 0, "`time` for which a token opens connections after its end")
	f.DurationVar(&s.idleCut, "idle-cut", 0, fmt.Sprintf("`time` of silence after which a connection is dropped; Azure's is some %v; 0: never", serviceIdleCut))
}

// faults are the values that make no sense.
func (s *switches) faults(fault func(string, ...any)) {
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"-expiry-leeway", s.expiryLeeway}, {"-idle-cut", s.idleCut}} {
		if d.value < 0 {
			fault("%s %v: must not be below 0", d.flag, d.value)
		}
	}
}

func (s *switches) apply(server *fakerelay.Server) {
	if s.unknownEntity.is("401") {
		server.UnknownEntityStatus = http.StatusUnauthorized
	}
	if s.missingRight.is("403") {
		server.MissingClaimStatus = http.StatusForbidden
	}
	server.NotFoundOnTimeout = s.acceptTimeout.is("404")
	server.RewriteCloseCodes = s.closeCodes.is("rewritten")
	server.IgnoreNameCase = s.names.is("any-case")
	server.ExpiryLeeway = s.expiryLeeway
	server.IdleCut = s.idleCut
}

// keepOpen gives a listener of ours the pace that keeps its sockets open as the
// official ones' does, in the proportion of Azure's times.
func (s *switches) keepOpen(l *fakelistener.Listener) {
	if s.idleCut > 0 && s.idleCut < serviceIdleCut {
		l.PongInterval = max(time.Duration(float64(s.idleCut)*libraryPong.Seconds()/serviceIdleCut.Seconds()), time.Millisecond)
	}
}

// choice is a flag with a few values. It does not take two of them.
type choice struct {
	values []string
	value  string
}

func (c *choice) is(value string) bool { return c.String() == value }

func (c *choice) String() string {
	if c.value == "" && len(c.values) > 0 {
		return c.values[0]
	}
	return c.value
}

// Set is flag.Value's.
func (c *choice) Set(value string) error {
	if !slices.Contains(c.values, value) {
		return fmt.Errorf("choose %s", strings.Join(c.values, " or "))
	}
	if c.value != "" && c.value != value {
		return fmt.Errorf("%s was chosen before", c.value)
	}
	c.value = value
	return nil
}

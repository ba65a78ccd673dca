package dnsproxy

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// Hooks are called as things happen, as those of [net/http/httptrace] are. Many
// goroutines call them at once, and before the next query is read, so they must
// be quick. Nil ones are not called.
type Hooks struct {
	// Answered is called when the reply to a client has been written.
	Answered func(Answered)

	// Asked is called when an upstream has answered or has been given up.
	Asked func(Asked)

	// Dropped is called when something arrived that is left without an answer.
	Dropped func(Dropped)

	// Usage is called when no app has asked for a name in the first five minutes,
	// with Queries 0, and when an app asks for the first time, with Queries 1 or
	// more. [Server.Usage] gives the figures at any time.
	Usage func(Usage)

	// Sibling is called once for each name that an app asks for in vain next to an
	// own one, for 64 names at most.
	Sibling func(Sibling)
}

// A Source says where an answer came from.
type Source string

const (
	SourceOwn       Source = "own"       // from the Table
	SourceCanary    Source = "canary"    // about this process: Canary, or the name that finds loops
	SourceForwarded Source = "forwarded" // from an upstream, or SERVFAIL because none answered
	SourceCache     Source = "cache"     // from the cache, within its TTL
	SourceStale     Source = "stale"     // from the cache, past its TTL: no upstream answers, or the reply is SERVFAIL (RFC 8767)
	SourceRefused   Source = "refused"   // malformed, not implemented, wrong class, or too many waiting for upstreams
)

// A Dropped says why a message was left without an answer.
type Dropped string

const (
	DroppedStump    Dropped = "stump"    // from a client, shorter than a header (RFC 1035 section 4.1.1)
	DroppedResponse Dropped = "response" // from a client, a response and no query (RFC 1035 section 4.1.1, QR)
	DroppedStray    Dropped = "stray"    // from an upstream, no answer to a query that waits there (RFC 5452 section 9.1)
)

// Answered describes one reply to a client. It does not hold the name, which is
// the application's business.
type Answered struct {
	Source  Source
	Network string        // "udp" or "tcp"
	Type    Type          // that was asked for; 0 if the question could not be read
	Rcode   Rcode         // with EDNS's upper bits if the reply was made here
	Took    time.Duration // from the query's arrival to the reply's departure
}

// Asked describes one attempt with one upstream. An attempt over UDP whose reply
// was truncated includes the one over TCP that follows.
type Asked struct {
	Upstream netip.AddrPort
	Rcode    Rcode         // without EDNS's upper bits; only if Err is nil
	Took     time.Duration // until the reply came or the upstream was given up
	Err      error         // nil if the upstream answered, with SERVFAIL too
}

// A Type is a record type, as in a question (RFC 1035 section 3.2.2).
type Type uint16

// String returns the type's mnemonic, such as "AAAA", or "TYPE65280" for one that
// is not known (RFC 3597 section 5).
func (t Type) String() string { return dns.Type(t).String() }

// An Rcode is a response code (RFC 1035 section 4.1.1); those above 15 need EDNS
// (RFC 6891 section 6.1.3).
type Rcode int

// String returns the code's mnemonic, such as "NXDOMAIN", or "RCODE12" for one
// that is not known.
func (r Rcode) String() string {
	if r == dns.RcodeBadVers {
		return "BADVERS" // miekg/dns has the name of the same number in TSIG records
	}
	if s, ok := dns.RcodeToString[int(r)]; ok {
		return s
	}
	return "RCODE" + strconv.Itoa(int(r))
}

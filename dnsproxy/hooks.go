package dnsproxy

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// Hooks are called as things happen, as those of [net/http/httptrace] are.
// They are called by many goroutines at once and before the next query is
// read, so they must be quick. Nil ones are not called.
type Hooks struct {
	// Answered is called when the reply to a client has been written.
	Answered func(Answered)

	// Asked is called when an upstream has answered or has been given up.
	Asked func(Asked)

	// Dropped is called when something arrived that is left without an answer.
	Dropped func(Dropped)

	// Usage is called when an app asks for the first time and, before that, when
	// none has for five minutes, which Queries tells apart. See [Server.Usage]
	// for what happens in between.
	Usage func(Usage)

	// Sibling is called once for each name that an app asks for in vain next to an
	// own one, for 64 names at most.
	Sibling func(Sibling)
}

// A Source says where an answer came from.
type Source string

const (
	SourceOwn       Source = "own"       // from the Table
	SourceCanary    Source = "canary"    // about this process
	SourceForwarded Source = "forwarded" // from an upstream, or SERVFAIL because none answered
	SourceCache     Source = "cache"     // from an upstream, some time ago
	SourceStale     Source = "stale"     // likewise; it has run out, but no upstream answers
	SourceRefused   Source = "refused"   // malformed, not implemented, wrong class, or too many in flight
)

// A Dropped says why a message was.
type Dropped string

const (
	DroppedStump    Dropped = "stump"    // from a client, shorter than a header
	DroppedResponse Dropped = "response" // from a client, no query (RFC 1035 section 4.1.1, QR)
	DroppedStray    Dropped = "stray"    // from an upstream, no answer to what waits there (RFC 5452 section 9.1)
)

// Answered describes one reply. It does not hold the name, which is the
// application's business.
type Answered struct {
	Source  Source
	Network string // "udp" or "tcp"
	Type    Type
	Rcode   Rcode
	Took    time.Duration // from the query's arrival to the reply's departure
}

// Asked describes one exchange with one upstream, over UDP and, where the
// reply was truncated, TCP.
type Asked struct {
	Upstream netip.AddrPort
	Rcode    Rcode // if Err is nil
	Took     time.Duration
	Err      error
}

// A Type is a record type, as in a question.
type Type uint16

// String returns the type's mnemonic, such as "AAAA", or "TYPE65280" (RFC
// 3597) for one that is not known.
func (t Type) String() string { return dns.Type(t).String() }

// An Rcode is a response code; those above 15 need EDNS.
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

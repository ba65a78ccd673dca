package check

import "strings"

// Verdict is what a walk comes to: a stable label, by which docs/troubleshooting.md
// is indexed.
type Verdict string

// The verdicts, in the order of the stages that they belong to.
const (
	Healthy Verdict = "healthy"

	NameNotConfigured Verdict = "name_not_configured" // no setting has this host:port

	DNSNotReaching  Verdict = "dns_not_reaching"  // the machine's resolver is not this sidecar
	DNSWrongAddress Verdict = "dns_wrong_address" // it is a sidecar, which gives another address

	ListenerNotBound Verdict = "listener_not_bound" // nobody accepts at the stand-in address
	CaptureMissing   Verdict = "capture_missing"    // the rules are not in place that lead connections there

	RelayNameUnknown  Verdict = "relay_name_unknown"
	RelayUnreachable  Verdict = "relay_unreachable"
	ProxyFailed       Verdict = "proxy_failed" // otherwise than the following
	ProxyUnreachable  Verdict = "proxy_unreachable"
	ProxyRefused      Verdict = "proxy_refused"
	ProxyUnauthorized Verdict = "proxy_unauthorized"
	ProxyNoAnswer     Verdict = "proxy_no_answer"
	TLSUntrusted      Verdict = "tls_untrusted"
	TLSFailed         Verdict = "tls_failed"

	Unauthorized   Verdict = "unauthorized"
	TokenExpired   Verdict = "token_expired"
	ClockWrong     Verdict = "clock_wrong"
	WrongAudience  Verdict = "wrong_audience"
	AddressBlocked Verdict = "address_blocked"
	TokenFailed    Verdict = "token_failed"

	UnknownEntity    Verdict = "unknown_entity"
	NoListener       Verdict = "no_listener"
	ListenerRejected Verdict = "listener_rejected"
	NotAccepted      Verdict = "not_accepted"
	RelayUnavailable Verdict = "relay_unavailable"
	NotARelay        Verdict = "not_a_relay"
	NoAnswer         Verdict = "no_answer"
	ListenerMismatch Verdict = "listener_mismatch" // it is of another kind than the settings say

	TargetUnreachable Verdict = "target_unreachable" // the tunnel ended without a byte
	TargetSilent      Verdict = "target_silent"      // it is open and nothing came
	TargetTLSFailed   Verdict = "target_tls_failed"  // TLS was asked for and did not come about

	TooManyFiles Verdict = "too_many_files" // this process may open no more; says nothing of the way
	Unfinished   Verdict = "unfinished"     // the check ended before the stage did
)

// ordered is what Verdicts returns. Codes are spaced by stage; 1 is a check that
// failed itself, 2 is for settings and arguments, as with every command.
var ordered = []struct {
	verdict Verdict
	code    int
	stage   Stage
}{
	{Healthy, 0, ""},
	{TooManyFiles, 1, RelayPort},
	{Unfinished, 1, ""},
	{NameNotConfigured, 2, Configuration},
	{DNSNotReaching, 20, Resolver},
	{DNSWrongAddress, 21, Resolver},
	{ListenerNotBound, 30, Socket},
	{CaptureMissing, 31, Socket},
	{RelayNameUnknown, 40, RelayName},
	{RelayUnreachable, 50, RelayPort},
	{ProxyFailed, 51, RelayPort},
	{ProxyUnreachable, 52, RelayPort},
	{ProxyRefused, 53, RelayPort},
	{ProxyUnauthorized, 54, RelayPort},
	{ProxyNoAnswer, 55, RelayPort},
	{TLSUntrusted, 60, RelayTLS},
	{TLSFailed, 61, RelayTLS},
	{Unauthorized, 70, Token},
	{TokenExpired, 71, Token},
	{ClockWrong, 72, Token},
	{WrongAudience, 73, Token},
	{AddressBlocked, 74, Token},
	{TokenFailed, 75, Token},
	{UnknownEntity, 80, Listener},
	{NoListener, 81, Listener},
	{ListenerRejected, 82, Listener},
	{NotAccepted, 83, Listener},
	{RelayUnavailable, 84, Listener},
	{NotARelay, 85, Listener},
	{NoAnswer, 86, Listener},
	{ListenerMismatch, 87, Listener},
	{TargetUnreachable, 90, Target},
	{TargetSilent, 91, Target},
	{TargetTLSFailed, 92, Target},
}

// Verdicts lists all verdicts by exit code, for documentation.
func Verdicts() []Verdict {
	all := make([]Verdict, len(ordered))
	for i, o := range ordered {
		all[i] = o.verdict
	}
	return all
}

// ExitCode is the process's when v is the first failure.
func (v Verdict) ExitCode() int {
	for _, o := range ordered {
		if o.verdict == v {
			return o.code
		}
	}
	return 1
}

// verdictOf is what a failed dial's reason comes to.
func verdictOf(reason string) Verdict {
	switch {
	case strings.HasPrefix(reason, "azbridge_"), strings.HasPrefix(reason, "opening_"):
		return ListenerMismatch
	case strings.HasPrefix(reason, "target_"): // an aztunnel listener says so itself
		return TargetUnreachable
	}
	return Verdict(reason)
}

// stage is where v belongs.
func (v Verdict) stage() Stage {
	for _, o := range ordered {
		if o.verdict == v {
			return o.stage
		}
	}
	return ""
}

// See is where the documentation explains v.
func (v Verdict) See() string { return "docs/troubleshooting.md#" + string(v) }

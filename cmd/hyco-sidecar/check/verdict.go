package check

import (
	"slices"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
)

// Verdict is what a walk comes to: a stable label, by which docs/troubleshooting.md
// is indexed. Its stage and exit code are in package advice.
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

// Verdicts lists all verdicts by exit code, for documentation.
func Verdicts() []Verdict {
	var all []Verdict
	for _, v := range advice.Verdicts() {
		all = append(all, Verdict(v.Label))
	}
	return all
}

// ExitCode is the process's when v is the first failure.
func (v Verdict) ExitCode() int {
	if known, ok := v.known(); ok {
		return known.ExitCode
	}
	return 1
}

// stage is where v belongs; empty for one that belongs to none, or is not known.
func (v Verdict) stage() Stage {
	known, _ := v.known()
	return Stage(known.Stage)
}

func (v Verdict) known() (advice.Verdict, bool) {
	all := advice.Verdicts()
	i := slices.IndexFunc(all, func(a advice.Verdict) bool { return a.Label == string(v) })
	if i < 0 {
		return advice.Verdict{}, false
	}
	return all[i], true
}

// See is where the documentation explains v.
func (v Verdict) See() string { return advice.See(string(v)) }

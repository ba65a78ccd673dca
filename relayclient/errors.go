package relayclient

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Why a dial failed, for errors.Is. Failures without one of these are of the
// network and described by [DialError.Stage].
var (
	// ErrNoListener: no Hybrid Connection Manager or other listener is connected.
	ErrNoListener = errors.New("relayclient: no listener is connected")
	// ErrUnknownEntity: the namespace has no hybrid connection of that name.
	ErrUnknownEntity = errors.New("relayclient: the hybrid connection does not exist")
	// ErrUnauthorized: the relay refused the token.
	ErrUnauthorized = errors.New("relayclient: the relay refused the credentials")
	// ErrAddressBlocked: the namespace's firewall refused this machine's address.
	ErrAddressBlocked = errors.New("relayclient: the namespace's firewall refused this address")
	// ErrListenerRejected: the listener itself turned the connection down.
	ErrListenerRejected = errors.New("relayclient: the listener rejected the connection")
	// ErrNotAccepted: a listener is connected but did not take the connection in time.
	ErrNotAccepted = errors.New("relayclient: no listener accepted the connection in time")
	// ErrUnavailable: the relay is overloaded or failing.
	ErrUnavailable = errors.New("relayclient: the relay is unavailable")
	// ErrNotRelay: what answered does not speak the relay's protocol.
	ErrNotRelay = errors.New("relayclient: the answer is not a relay's")
	// ErrAttemptTimeout: one attempt got no answer in time.
	ErrAttemptTimeout = errors.New("relayclient: no answer in time")
)

// Stage says how far a dial came.
type Stage string

// The stages of a dial, in their order.
const (
	StageToken   Stage = "token"   // obtaining a token
	StageResolve Stage = "resolve" // looking up the relay's name
	StageConnect Stage = "connect" // TCP to the relay
	StageProxy   Stage = "proxy"   // the way to a proxy and through it, in place of the former two
	StageTLS     Stage = "tls"     // the TLS handshake
	StageUpgrade Stage = "upgrade" // the WebSocket handshake: token, entity, listener
	StageOpening Stage = "opening" // what an azbridge or aztunnel listener is told first
)

// DialError says why a hybrid connection could not be joined.
type DialError struct {
	Entity     string
	Host       string        // host:port of the relay
	Stage      Stage         // how far the last attempt came
	Proxy      string        // host:port of the proxy at which it failed; empty = elsewhere
	Status     int           // the relay's HTTP status, at StageProxy the proxy's; 0 when it did not answer
	Phrase     string        // the reason phrase beside it, sanitised
	TrackingID string        // Azure's id of this failure, for a support request
	RetryAfter time.Duration // what the relay, or the proxy, asked for; 0 when it did not
	Attempts   int           // how many were made
	Err        error         // one of the sentinels above, or the network's error

	// ClockOffset is this machine's clock minus the relay's, by the Date of the
	// relay's answer and so to about a second. 0 when it is not known.
	ClockOffset time.Duration

	Token      TokenKind // what was presented; not meaningful at StageToken and StageOpening
	AllRefused bool      // every credential of a [Rollover] of several was refused, or gave no token

	ProxyCredentials bool     // the proxy's URL has a user
	ProxySchemes     []string // schemes by which the proxy takes credentials, in lower case (RFC 9110 §11.7.1); nil when not known

	cancelled bool // the caller gave up
}

// TokenKind is the kind of token that a dial presents.
type TokenKind int

// The kinds of tokens.
const (
	SignedToken    TokenKind = iota // a shared access signature made here from a key
	NoToken                         // none was presented
	ReadyMadeToken                  // a shared access signature made elsewhere, see [SharedAccessSignature]
	BearerToken                     // a token of Entra ID
)

// Error describes the failure in one line and never contains a token. The
// relay's own words are in Phrase.
func (e *DialError) Error() string {
	var b strings.Builder
	b.WriteString("relayclient: ")
	if e.Status == 0 {
		fmt.Fprintf(&b, "%s stage: ", e.Stage)
	}
	b.WriteString(strings.TrimPrefix(sanitize(e.Err.Error()), "relayclient: "))
	if e.Entity != "" {
		fmt.Fprintf(&b, " (hybrid connection %q", e.Entity)
	} else {
		fmt.Fprintf(&b, " (relay %s", e.Host)
	}
	if e.Proxy != "" {
		fmt.Fprintf(&b, ", proxy %s", e.Proxy)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ", status %d", e.Status)
	}
	b.WriteString(")")
	return b.String()
}

// Unwrap returns Err.
func (e *DialError) Unwrap() error { return e.Err }

// Temporary reports whether the same dial may succeed a little later. Nothing
// has reached a target yet, so trying again is safe; at worst the listener has
// dialled its target once for nobody.
func (e *DialError) Temporary() bool {
	switch {
	case e.Stage == StageProxy:
		return e.proxyMayRecover()
	case e.Status == 0:
		return e.Stage != StageToken && e.Stage != StageOpening && !e.Untrusted() && !errors.Is(e.Err, ErrNotRelay)
	case e.Status == http.StatusNotFound:
		return !errors.Is(e.Err, ErrUnknownEntity)
	}
	return isPassing(e.Status)
}

// Untrusted reports whether the dial failed since a certificate, the relay's or at
// [StageProxy] the proxy's, is not trusted. Trying again cannot help.
func (e *DialError) Untrusted() bool { return isCertificateError(e.Err) }

// Reason sorts the failure into one of a few stable labels, for metrics and
// documentation.
func (e *DialError) Reason() string {
	if e.cancelled {
		return "cancelled"
	}
	if opening, ok := errors.AsType[*openingError](e.Err); ok {
		return opening.reason
	}
	for _, known := range []struct {
		err    error
		reason string
	}{
		{ErrNoListener, "no_listener"},
		{ErrUnknownEntity, "unknown_entity"},
		{ErrAddressBlocked, "address_blocked"},
		{ErrListenerRejected, "listener_rejected"},
		{ErrNotAccepted, "not_accepted"},
		{ErrUnavailable, "relay_unavailable"},
		{ErrNotRelay, "not_a_relay"},
		{syscall.EMFILE, "too_many_files"},
		{syscall.ENFILE, "too_many_files"},
		{ErrProxyUnreachable, "proxy_unreachable"},
		{ErrProxyRefused, "proxy_refused"},
		{ErrProxyUnauthorized, "proxy_unauthorized"},
		{ErrProxyNoAnswer, "proxy_no_answer"},
	} {
		if errors.Is(e.Err, known.err) {
			return known.reason
		}
	}
	switch {
	case errors.Is(e.Err, ErrUnauthorized):
		return e.refusedToken()
	case e.Untrusted():
		return "tls_untrusted"
	}
	switch e.Stage {
	case StageToken:
		return "token_failed"
	case StageResolve:
		return "relay_name_unknown"
	case StageConnect:
		return "relay_unreachable"
	case StageProxy:
		return "proxy_failed"
	case StageTLS:
		return "tls_failed"
	}
	return "no_answer"
}

// LogAttrs returns what a log line about the failure should carry.
func (e *DialError) LogAttrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("entity", e.Entity), slog.String("stage", string(e.Stage)), slog.String("reason", e.Reason())}
	if e.Proxy != "" {
		attrs = append(attrs, slog.String("proxy", e.Proxy))
	}
	if e.Status != 0 {
		attrs = append(attrs, slog.Int("status", e.Status), slog.String("phrase", e.Phrase))
	}
	if e.TrackingID != "" {
		attrs = append(attrs, slog.String("tracking_id", e.TrackingID))
	}
	return append(attrs, slog.Int("attempts", e.Attempts))
}

var trackingID = regexp.MustCompile(`TrackingId:\s*([^\s,;]+)`)

// refused fills in what the relay's answer says. The text sits in the reason
// phrase; there is no body to depend on.
func (e *DialError) refused(resp *http.Response) {
	_, phrase, _ := strings.Cut(resp.Status, " ")
	e.Stage = StageUpgrade
	e.Status = resp.StatusCode
	e.Phrase = sanitize(phrase)
	if m := trackingID.FindStringSubmatch(phrase); m != nil {
		e.TrackingID = sanitize(m[1])
	}
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	e.ClockOffset = clockOffset(resp.Header.Get("Date"), time.Now())
	e.Err = refusal(resp.StatusCode, e.Phrase)
}

// refusal sorts a refusal by its status and, where the status is ambiguous, by
// its text. Phrases of the relay carry a tracking id; one that neither does nor
// is the status's own standard text is most likely the listener's.
func refusal(status int, phrase string) error {
	lower := strings.ToLower(phrase)
	fromRelay := strings.Contains(lower, "trackingid:") || strings.Contains(lower, "systemtracker:") ||
		phrase == "" || strings.EqualFold(phrase, http.StatusText(status))
	switch status {
	case http.StatusNotFound:
		switch {
		case strings.Contains(lower, "endpoint does not exist"):
			return ErrUnknownEntity
		case strings.Contains(lower, "within the allowed timeout"):
			return ErrNotAccepted
		}
		return ErrNoListener
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return ErrNotAccepted
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return ErrUnavailable
	case http.StatusInternalServerError, http.StatusBadGateway:
		if !fromRelay || strings.Contains(lower, "accepthandler") {
			return ErrListenerRejected
		}
		return ErrUnavailable
	}
	switch {
	case strings.Contains(lower, "ip has been prevented"):
		return ErrAddressBlocked
	case !fromRelay:
		return ErrListenerRejected
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrUnauthorized
	}
	return fmt.Errorf("%w: status %d", ErrNotRelay, status)
}

// retryAfter reads both forms of the header, RFC 9110 §10.2.3.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

package relayclient

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What [DialError.Reason] says of a token that the relay refused.
const (
	reasonUnauthorized  = "unauthorized"
	reasonTokenExpired  = "token_expired"
	reasonClockWrong    = "clock_wrong"
	reasonWrongAudience = "wrong_audience"
	reasonNotReadable   = "metadata_not_readable" // of Describe
)

// ClockTolerance is how far this machine's clock may be from the relay's until
// that is worth a word. Tokens made here are good for an hour, and the relay
// allows for a few minutes.
const ClockTolerance = 5 * time.Minute

// tokenTaken reports whether the relay had looked at the token, and taken it,
// before the attempt failed.
func (e *DialError) tokenTaken() bool {
	return e.Stage == StageOpening || errors.Is(e, ErrNoListener) || errors.Is(e, ErrNotAccepted) || errors.Is(e, ErrListenerRejected)
}

// refusedToken sorts a refusal by the relay's phrase (docs/relay-protocol.md §3.3). Where the
// phrase names neither signature nor audience nor right, a clock that is far
// behind is the likeliest cause: it makes tokens that have expired when they
// arrive. One that is ahead makes tokens that last longer. A token that was made
// elsewhere does not depend on this machine's clock.
func (e *DialError) refusedToken() string {
	phrase := strings.ToLower(e.Phrase)
	switch {
	case errors.Is(e.Err, errMayNotRead):
		return reasonNotReadable
	case strings.Contains(phrase, "invalidaudience"), strings.Contains(phrase, "wrong audience"):
		return reasonWrongAudience
	case strings.Contains(phrase, "invalid signature"), strings.Contains(phrase, "claim"):
		return reasonUnauthorized
	case !e.anonymous && !e.readyMade && !e.bearer && e.ClockOffset < -ClockTolerance:
		return reasonClockWrong
	case strings.Contains(phrase, "expired"):
		return reasonTokenExpired
	}
	return reasonUnauthorized
}

// nextForToken says what to do about it.
func (e *DialError) nextForToken() string {
	reason := e.refusedToken()
	if e.allRefused && reason != reasonUnauthorized {
		return e.nextForOne(reason) + noOther
	}
	return e.nextForOne(reason)
}

// noOther follows what to do about one credential where the others failed too.
const noOther = "; the other credential did not work either"

func (e *DialError) nextForOne(reason string) string {
	switch {
	case reason == reasonNotReadable && e.bearer:
		return "give the identity the role Azure Relay Listener as well, or write host:port instead"
	case reason == reasonNotReadable:
		return "give the key's rule the Listen right as well, or write host:port instead"
	case e.allRefused && reason == reasonUnauthorized:
		return "check both connection strings, that their rules have the Send right, and this machine's clock: the relay refused either key"
	case reason == reasonWrongAudience:
		return fmt.Sprintf("use a token, or a connection string, that was made for %q of %s", e.Entity, e.Host)
	case reason == reasonClockWrong:
		return "set this machine's clock, which is " + DescribeOffset(e.ClockOffset) + ": tokens are signed by it"
	case reason == reasonTokenExpired && e.readyMade:
		return "make a new SharedAccessSignature, or use SharedAccessKeyName and SharedAccessKey, from which tokens are made as they are needed"
	case reason == reasonTokenExpired && e.bearer:
		return "set this machine's clock: by it, the token of Entra ID is still good"
	case reason == reasonTokenExpired:
		return "check this machine's clock: the token was made just now, for an hour"
	case e.anonymous:
		return "add a key with the Send right to the connection string: this hybrid connection requires one"
	}
	if e.bearer {
		return "give the identity the role Azure Relay Sender on the hybrid connection or the namespace; a new assignment takes up to five minutes"
	}
	return "check SharedAccessKeyName and SharedAccessKey, that the rule has the Send right, and this machine's clock"
}

// isBearer tells a token of Entra ID from a shared access signature, by its form:
// whoever holds several sources presents now one, now the other.
func isBearer(token string) bool {
	return token != "" && !strings.HasPrefix(token, "SharedAccessSignature ")
}

// DescribeOffset puts a clock's offset into words: "1h0m0s behind the relay's".
func DescribeOffset(offset time.Duration) string {
	side := "ahead of"
	if offset < 0 {
		side = "behind"
	}
	return fmt.Sprintf("%s %s the relay's", offset.Abs().Round(time.Second), side)
}

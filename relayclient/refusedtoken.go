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
	case e.Token == SignedToken && e.ClockOffset < -ClockTolerance:
		return reasonClockWrong
	case strings.Contains(phrase, "expired"):
		return reasonTokenExpired
	}
	return reasonUnauthorized
}

// kindOf sorts a token. One of Entra ID is told from a shared access signature by
// its form: a source may stand for several, and present now one, now the other.
func kindOf(source TokenSource, token string) TokenKind {
	_, readyMade := source.(*SharedAccessSignature)
	switch {
	case source == nil:
		return NoToken
	case readyMade:
		return ReadyMadeToken
	case token != "" && !strings.HasPrefix(token, "SharedAccessSignature "):
		return BearerToken
	}
	return SignedToken
}

// DescribeOffset puts a clock's offset into words: "1h0m0s behind the relay's".
func DescribeOffset(offset time.Duration) string {
	side := "ahead of"
	if offset < 0 {
		side = "behind"
	}
	return fmt.Sprintf("%s %s the relay's", offset.Abs().Round(time.Second), side)
}

package relayclient

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// TokenSource makes or holds the tokens of one credential.
type TokenSource interface {
	// Token returns the token to present for audience, a URI such as
	// "http://contoso.servicebus.windows.net/orders-hc/": a shared access signature, or a
	// bare token of Entra ID (docs/relay-protocol.md §2.3). It is called for every attempt and
	// from several goroutines. The token must never be part of an error.
	Token(ctx context.Context, audience string) (string, error)
}

const (
	// sasValidity is what the reference .NET sender uses. Expiry only matters for the
	// handshake: the relay does not cut connections that are already up
	// (docs/relay-protocol.md §2.1).
	sasValidity = time.Hour
	// sasReuse is how long one signature serves all connections.
	sasReuse = time.Minute
)

// SASKey is a [TokenSource] that makes shared access signatures from a named key. It is safe
// for concurrent use, and no verb of fmt and no logger shows its key.
type SASKey struct {
	name string
	key  *string                    // a pointer, since fmt prints unexported strings it meets by reflection
	last *atomic.Pointer[signature] // made last
}

// signature is a token and what it was made for.
type signature struct {
	audience, token string
	made            time.Time
}

// NewSASKey returns a source of tokens that are signed with key, in the name of the
// authorization rule name. The key is SharedAccessKey of the connection string as it stands:
// it is not base64-decoded (docs/relay-protocol.md §2.1).
func NewSASKey(name, key string) *SASKey {
	return &SASKey{name: name, key: &key, last: new(atomic.Pointer[signature])}
}

// Token returns a signature of audience that is valid for 59 to 60 minutes. The error is
// always nil.
func (k *SASKey) Token(_ context.Context, audience string) (string, error) {
	now := time.Now().Round(0) // without the monotonic clock: setting the clock has to count
	if last := k.last.Load(); last != nil && last.audience == audience {
		if age := now.Sub(last.made); 0 <= age && age < sasReuse {
			return last.token, nil
		}
	}
	token := k.sign(audience, now.Add(sasValidity))
	k.last.Store(&signature{audience, token, now})
	return token, nil
}

// sign makes a token, docs/relay-protocol.md §2.1.
func (k *SASKey) sign(audience string, expiry time.Time) string {
	resource := url.QueryEscape(audience)
	se := strconv.FormatInt(expiry.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(*k.key))
	io.WriteString(mac, resource+"\n"+se)
	sig := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return "SharedAccessSignature sr=" + resource + "&sig=" + url.QueryEscape(sig) + "&se=" + se + "&skn=" + url.QueryEscape(k.name)
}

// String names the key without showing it.
func (k *SASKey) String() string { return "shared access key " + strconv.Quote(k.name) }

// Format keeps every verb, %#v and %x included, from showing the key.
func (k *SASKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue names the key without showing it.
func (k *SASKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// SharedAccessSignature is a [TokenSource] that presents a token made by somebody else. No verb
// of fmt and no logger shows the token.
type SharedAccessSignature struct{ token *string }

// NewSharedAccessSignature returns a source that always presents token, which begins with
// "SharedAccessSignature ". It cannot be renewed without its key.
func NewSharedAccessSignature(token string) *SharedAccessSignature {
	return &SharedAccessSignature{token: &token}
}

// Token returns the token, whatever the audience. The error is always nil.
func (s *SharedAccessSignature) Token(context.Context, string) (string, error) { return *s.token, nil }

// Expiry is when the token ends, by its field se (docs/relay-protocol.md §2.1); the zero time
// where that cannot be read.
func (s *SharedAccessSignature) Expiry() time.Time {
	_, fields, _ := strings.Cut(*s.token, " ")
	values, err := url.ParseQuery(fields)
	if err != nil {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(values.Get("se"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// String does not show the token.
func (s *SharedAccessSignature) String() string { return "shared access signature" }

// Format keeps every verb from showing the token.
func (s *SharedAccessSignature) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue does not show the token.
func (s *SharedAccessSignature) LogValue() slog.Value { return slog.StringValue(s.String()) }

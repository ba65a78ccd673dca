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

// TokenSource returns the token to present for audience, a URI such as
// "http://contoso.servicebus.windows.net/orders-hc/". It is called for every
// attempt and from several goroutines. The token must never be part of an error.
type TokenSource interface {
	Token(ctx context.Context, audience string) (string, error)
}

// sasValidity is what the reference .NET sender uses. Expiry only matters for
// the handshake: the relay does not cut connections that are already up.
const sasValidity = time.Hour

// sasReuse is how long one signature serves all connections.
const sasReuse = time.Minute

// SASKey mints shared access signatures from a named key. It is safe for
// concurrent use and shows its key to no printer.
type SASKey struct {
	name string
	key  *string // a pointer, since fmt prints unexported strings it meets by reflection
	last *atomic.Pointer[signature]
}

// signature is a token and what it was made for.
type signature struct {
	audience, token string
	made            time.Time
}

// NewSASKey returns a source of tokens signed with key. The key is the text of
// SharedAccessKey as it stands, which is not base64-decoded.
func NewSASKey(name, key string) *SASKey {
	return &SASKey{name: name, key: &key, last: new(atomic.Pointer[signature])}
}

// Token signs audience for an hour, a minute less at worst.
func (k *SASKey) Token(_ context.Context, audience string) (string, error) {
	now := time.Now().Round(0) // a clock that is put right has to count
	if last := k.last.Load(); last != nil && last.audience == audience {
		if age := now.Sub(last.made); 0 <= age && age < sasReuse {
			return last.token, nil
		}
	}
	token := k.sign(audience, now.Add(sasValidity))
	k.last.Store(&signature{audience, token, now})
	return token, nil
}

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

// SharedAccessSignature is a token made by somebody else, presented as it is.
type SharedAccessSignature struct{ token *string }

// NewSharedAccessSignature returns a source that always presents token, which
// begins with "SharedAccessSignature " and cannot be renewed here.
func NewSharedAccessSignature(token string) *SharedAccessSignature {
	return &SharedAccessSignature{token: &token}
}

// Token returns the token, whatever the audience.
func (s *SharedAccessSignature) Token(context.Context, string) (string, error) { return *s.token, nil }

// Expiry is when the token ends (its field se), zero where that cannot be read.
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

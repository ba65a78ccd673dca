package relayclient

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Description is what a namespace says of a hybrid connection (docs/relay-protocol.md §8).
type Description struct {
	Listeners int    // that are connected
	Metadata  string // as it was written when the hybrid connection was made
}

// maxDescription bounds the answer, of which metadata is the largest part.
const maxDescription = 64 << 10

// Describe asks the namespace about the hybrid connection in req, with a token
// whose rule need not have the Send right: Listen is enough, and whether Send is
// depends on the service. No listener learns of it. What may pass is tried again
// as by Dial. The error is a *[DialError].
func (c *Client) Describe(ctx context.Context, req Request) (d Description, err error) {
	failed := c.persist(ctx, req, func(credential *choice) *DialError {
		var failed *DialError
		d, failed = c.describe(ctx, req, credential)
		return failed
	})
	if failed != nil {
		return Description{}, failed
	}
	return d, nil
}

// describe asks once.
func (c *Client) describe(ctx context.Context, req Request, credential *choice) (Description, *DialError) {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(c.attemptTimeout, attemptTimeout), ErrAttemptTimeout)
	defer cancel()
	t := &try{Client: c, req: req, tokens: credential.source, header: make(http.Header)}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.Endpoint+"/"+escapePath(req.Entity)+"?api-version=2016-07", nil)
	if err != nil {
		return Description{}, t.failed(StageUpgrade, err)
	}
	ask.Header.Set("X-PROCESS-AT", "ServiceBus")
	ask.Header.Set("Relay-User-Agent", t.userAgent())
	if t.tokens != nil {
		token, err := credential.token(ctx, t.audience(req.Entity))
		if err != nil {
			return Description{}, t.failed(StageToken, err)
		}
		ask.Header.Set("Authorization", token)
		t.header.Set("ServiceBusAuthorization", token) // where errors look what was shown
	}
	p := newProgress()
	l, err := c.connect(ctx, p)
	if err != nil {
		return Description{}, t.refused(ctx, p.reached(), nil, err)
	}
	defer l.Close()
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return l.Conn, nil }}
	resp, err := transport.RoundTrip(ask)
	if err != nil {
		return Description{}, t.refused(ctx, StageUpgrade, nil, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDescription))
	if err != nil {
		return Description{}, t.refused(ctx, StageUpgrade, nil, err)
	}
	if resp.StatusCode != http.StatusOK {
		failed := t.refused(ctx, StageUpgrade, resp, nil)
		failed.explain(body)
		return Description{}, failed
	}
	d, err := readEntry(body)
	if err != nil {
		failed := t.failed(StageUpgrade, err)
		failed.Status = resp.StatusCode
		return Description{}, failed
	}
	return d, nil
}

// explain takes the text of an answer that is an error; its reason phrase says
// nothing. A right that is missing is told from a key that is wrong.
func (e *DialError) explain(body []byte) {
	switch { // no listener takes part in this
	case errors.Is(e.Err, ErrNoListener):
		e.Err = ErrUnknownEntity
	case errors.Is(e.Err, ErrListenerRejected):
		e.Err = fmt.Errorf("%w: status %d", ErrNotRelay, e.Status)
	}
	var told struct{ Detail string }
	if xml.Unmarshal(body, &told) != nil || told.Detail == "" {
		return
	}
	e.Phrase = sanitize(told.Detail)
	if m := trackingID.FindStringSubmatch(told.Detail); m != nil {
		e.TrackingID = sanitize(m[1])
	}
	if errors.Is(e.Err, ErrUnauthorized) && strings.Contains(strings.ToLower(e.Phrase), "claim") {
		e.Err = errMayNotRead
	}
}

// errMayNotRead is a key that is right, of a rule that may not ask.
var errMayNotRead = fmt.Errorf("%w: its rule may not read the hybrid connection", ErrUnauthorized)

// readEntry takes what matters out of an Atom entry. The service answers a feed,
// with status 200, where there is no such hybrid connection.
func readEntry(body []byte) (Description, error) {
	var entry struct {
		XMLName xml.Name
		Content struct {
			Description struct {
				ListenerCount int
				UserMetadata  string
			} `xml:"HybridConnectionDescription"`
		} `xml:"content"`
	}
	if err := xml.Unmarshal(body, &entry); err != nil {
		return Description{}, fmt.Errorf("%w: it is no description", ErrNotRelay)
	}
	switch entry.XMLName.Local {
	case "entry":
		d := entry.Content.Description
		return Description{Listeners: d.ListenerCount, Metadata: d.UserMetadata}, nil
	case "feed":
		return Description{}, ErrUnknownEntity
	}
	return Description{}, fmt.Errorf("%w: it is no description", ErrNotRelay)
}

// What [MetadataError.Reason] says.
const (
	reasonMetadataMissing  = "metadata_missing"
	reasonMetadataUnusable = "metadata_unusable"
)

// MetadataError is metadata that does not name an endpoint.
type MetadataError struct{ reason, problem string }

func (e *MetadataError) Error() string { return e.problem }

// Reason is the label of the problem.
func (e *MetadataError) Reason() string { return e.reason }

func unusable(format string, args ...any) error {
	return &MetadataError{reasonMetadataUnusable, fmt.Sprintf(format, args...)}
}

// Endpoint returns the host:port that the metadata names under the key
// "endpoint", of which App Service and the Hybrid Connection Manager make use as
// well. The error is a *[MetadataError].
func (d Description) Endpoint() (string, error) {
	if strings.TrimSpace(d.Metadata) == "" {
		return "", &MetadataError{reasonMetadataMissing, "the hybrid connection has no metadata"}
	}
	var pairs []struct {
		Key   string
		Value any // text, where it is the endpoint's
	}
	if err := json.Unmarshal([]byte(d.Metadata), &pairs); err != nil {
		return "", unusable("the hybrid connection's metadata is not a list of keys and values: %q", sanitize(d.Metadata))
	}
	found := ""
	for _, p := range pairs {
		value, isText := p.Value.(string)
		switch {
		case !strings.EqualFold(p.Key, "endpoint"):
		case !isText:
			return "", unusable("the hybrid connection's metadata has a key \"endpoint\" whose value is no text")
		case found != "" && !strings.EqualFold(found, value):
			return "", unusable("the hybrid connection's metadata names two endpoints, %q and %q", sanitize(found), sanitize(value))
		default:
			found = value
		}
	}
	if found == "" {
		return "", &MetadataError{reasonMetadataMissing, "the hybrid connection's metadata has no key \"endpoint\""}
	}
	if _, _, err := net.SplitHostPort(found); err != nil {
		return "", unusable("the hybrid connection's metadata names the endpoint %q, which is not host:port", sanitize(found))
	}
	return found, nil
}

// escapePath escapes an entity's segments one by one.
func escapePath(entity string) string {
	segments := strings.Split(entity, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

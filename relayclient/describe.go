package relayclient

import (
	"bufio"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Description is what a namespace says of a hybrid connection (docs/relay-protocol.md §8).
type Description struct {
	Listeners int    // how many are connected
	Metadata  string // userMetadata, as it was written when the hybrid connection was made
}

// maxDescription bounds the answer's body, of which metadata is the largest part, in bytes.
const maxDescription = 64 << 10

// Describe asks the namespace about the hybrid connection req.Entity. The token's rule need
// not have the Send right: Listen is enough, and whether Send is depends on the service
// (docs/relay-protocol.md §8). No listener learns of it. What may pass is tried again as by
// [Client.Dial]; ID and Opening of req are not used. The error is always a *[DialError].
func (c *Client) Describe(ctx context.Context, req Request) (d Description, err error) {
	failed := c.retry(ctx, req, func(credential *choice) *DialError {
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
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.Namespace+"/"+escapePath(req.Entity)+"?api-version=2016-07", nil)
	if err != nil {
		return Description{}, t.failure(StageUpgrade, err)
	}
	question.Close = true
	question.Header.Set("X-PROCESS-AT", "ServiceBus")
	question.Header.Set("Relay-User-Agent", t.userAgent())
	if t.tokens != nil {
		token, err := credential.token(ctx, t.audience(req.Entity))
		if err != nil {
			return Description{}, t.failure(StageToken, err)
		}
		question.Header.Set("Authorization", token)
		t.header.Set("ServiceBusAuthorization", token)
	}
	p := newProgress()
	l, err := c.connect(ctx, p)
	if err != nil {
		return Description{}, t.requestFailure(ctx, p.current(), nil, err)
	}
	defer l.Close()
	resp, body, err := l.get(question)
	if err != nil {
		return Description{}, t.requestFailure(ctx, StageUpgrade, nil, err)
	}
	if resp.StatusCode != http.StatusOK {
		failed := t.requestFailure(ctx, StageUpgrade, resp, nil)
		failed.explain(body)
		return Description{}, failed
	}
	d, err := readEntry(body)
	if err != nil {
		failed := t.failure(StageUpgrade, err)
		failed.Status = resp.StatusCode
		return Description{}, failed
	}
	return d, nil
}

// get asks question over l and returns the answer with the beginning of its body, which needs
// no Close: closing l ends it.
func (l *link) get(question *http.Request) (resp *http.Response, body []byte, err error) {
	err = within(question.Context(), l, l.guarded, func() error {
		if err := question.Write(l); err != nil {
			return err
		}
		resp, err = readFinal(bufio.NewReader(&limitedReader{l, maxResponse + maxDescription}), question)
		if err != nil {
			return err
		}
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxDescription))
		return err
	})
	return resp, body, err
}

// explain takes the text of an answer that is an error, from its body: unlike Dial's, the
// reason phrase says nothing. It tells a right that is missing from a key that is wrong.
func (e *DialError) explain(body []byte) {
	switch { // no listener takes part in a description
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

// errMayNotRead: the key is right, but its rule gives no right to read the description.
var errMayNotRead = fmt.Errorf("%w: its rule may not read the hybrid connection", ErrUnauthorized)

// readEntry takes what matters out of an Atom entry (RFC 4287 §4.1.2). The service answers a
// feed, with status 200, where there is no such hybrid connection.
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

package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// connectTimeout bounds TCP to an identity endpoint. Where there is none, packets
	// to 169.254.169.254 often vanish, and there is no other address to try.
	connectTimeout = 3 * time.Second
	// maxAnswer bounds what is read of one answer; tokens have a few KiB.
	maxAnswer = 1 << 20
)

// newClient returns the client for requests to Entra ID and to the endpoints of
// managed identities.
func newClient(o Options) *http.Client {
	return &http.Client{
		Transport: observer{&http.Transport{
			Proxy: func(r *http.Request) (*url.URL, error) {
				if r.URL.Scheme == "http" { // a managed identity's endpoint, which is of this machine alone
					return nil, nil
				}
				return http.ProxyFromEnvironment(r)
			},
			DialContext:            (&net.Dialer{Timeout: connectTimeout, Resolver: o.Resolver, Control: o.Control}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			IdleConnTimeout:        5 * time.Second, // from the first request of a fetch to its second
			MaxResponseHeaderBytes: 64 << 10,
		}},
		// A redirect would carry the identity's proof elsewhere; none is sent in order.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// outcome is the last request of a fetch and how it ended.
type outcome struct {
	host   string // empty: nothing was asked
	status int    // 0: no answer
	body   []byte // of an answer other than 200
	err    error  // why there was no answer
}

type outcomeKey struct{}

// withOutcome makes the requests under the context note how they end in seen.
func withOutcome(ctx context.Context, seen *outcome) context.Context {
	return context.WithValue(ctx, outcomeKey{}, seen)
}

// observer notes how requests end: azidentity's errors tell it as text, with all
// that the answer holds.
type observer struct{ *http.Transport }

func (o observer) RoundTrip(r *http.Request) (*http.Response, error) {
	seen, ok := r.Context().Value(outcomeKey{}).(*outcome)
	if !ok {
		return o.Transport.RoundTrip(r)
	}
	*seen = outcome{host: r.URL.Host}
	resp, err := o.Transport.RoundTrip(r)
	if err != nil {
		seen.err = err
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	if err != nil {
		seen.err = err
		return nil, err
	}
	if seen.status = resp.StatusCode; seen.status != http.StatusOK {
		seen.body = body
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

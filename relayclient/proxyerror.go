package relayclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// What a proxy on the way to the relay did wrong, for errors.Is. Whatever else
// fails there has only the stage [StageProxy].
var (
	// ErrProxyUnreachable: no connection to the proxy came about, by TCP or TLS.
	ErrProxyUnreachable = errors.New("relayclient: the proxy cannot be reached")
	// ErrProxyRefused: the proxy answered that it does not, or cannot, open the
	// way to the relay.
	ErrProxyRefused = errors.New("relayclient: the proxy does not open the way to the relay")
	// ErrProxyUnauthorized: the proxy requires credentials, or rejected those given.
	ErrProxyUnauthorized = errors.New("relayclient: the proxy requires credentials, or rejected those given")
	// ErrProxyNoAnswer: the proxy took the connection and let the time pass.
	ErrProxyNoAnswer = errors.New("relayclient: the proxy gave no answer in time")
	// ErrNotProxy: what answers at the proxy's address is not a proxy of the kind
	// that the proxy's URL says.
	ErrNotProxy = errors.New("relayclient: what answers is not a proxy of this kind")
)

var (
	// errProxySetting stands for an error that quotes the setting, which may hold
	// a password.
	errProxySetting = errors.New("the proxy's setting is not a URL")
	errHungUp       = errors.New("the proxy closed the connection instead of answering")
	errRuleset      = errors.New("connection not allowed by ruleset")
)

// proxyAnswer is an HTTP proxy's answer to CONNECT, when it is no.
type proxyAnswer struct {
	kind       error // ErrProxyRefused or ErrProxyUnauthorized
	status     int
	phrase     string
	retryAfter time.Duration
	schemes    []string // that it takes credentials by, lower case; nil = not known
}

func (a *proxyAnswer) Error() string { return a.kind.Error() }

func (a *proxyAnswer) Unwrap() error { return a.kind }

// socksRefusal sorts what package proxy says of a SOCKS proxy's answer. It has
// texts only, which are its own and not the proxy's.
func socksRefusal(err error) error {
	text := err.Error()
	reply, refused := strings.CutPrefix(text, "unknown error ")
	switch {
	case reply == errRuleset.Error():
		return fmt.Errorf("%w: %w", ErrProxyRefused, errRuleset)
	case refused:
		return fmt.Errorf("%w: %s", ErrProxyRefused, reply)
	case strings.Contains(text, "authentication"), strings.Contains(text, "username/password"):
		return fmt.Errorf("%w: %s", ErrProxyUnauthorized, text)
	case strings.Contains(text, "protocol version"):
		return ErrNotProxy
	}
	return unanswered(err)
}

// unanswered describes why a proxy's answer could not be read.
func unanswered(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errHungUp
	}
	return fmt.Errorf("waiting for the proxy's answer: %w", err)
}

var challenge = regexp.MustCompile(`(?i)(?:^|,)\s*(basic|digest|ntlm|negotiate|bearer)\b`)

// schemes are those that the challenges of a 407 name, RFC 9110 §11.7.1.
func schemes(challenges []string) []string {
	var all []string
	for _, text := range challenges {
		for _, m := range challenge.FindAllStringSubmatch(text, -1) {
			all = append(all, strings.ToLower(m[1]))
		}
	}
	return all
}

// blameProxy puts a failure before the relay's TLS into terms of the proxy, which
// is then what was dialled. A way that is open and through which nothing comes is
// the proxy's silence too: behind it the relay answers within a second.
func (e *DialError) blameProxy(through *url.URL) {
	switch e.Stage {
	case StageResolve, StageConnect:
		switch {
		case errors.Is(e.Err, ErrAttemptTimeout) && e.Stage == StageResolve:
			e.Err = fmt.Errorf("%w: its name was not looked up in time", ErrProxyUnreachable)
		case errors.Is(e.Err, ErrAttemptTimeout):
			e.Err = fmt.Errorf("%w: no answer to TCP in time", ErrProxyUnreachable)
		case !errors.Is(e.Err, context.Canceled):
			e.Err = fmt.Errorf("%w: %w", ErrProxyUnreachable, e.Err)
		}
	case StageProxy:
		if errors.Is(e.Err, ErrAttemptTimeout) {
			e.Err = ErrProxyNoAnswer
		}
	case StageTLS:
		if !errors.Is(e.Err, ErrAttemptTimeout) {
			return
		}
		e.Err = fmt.Errorf("%w: it opened the way to the relay, and nothing came through", ErrProxyNoAnswer)
	default:
		return
	}
	e.Stage, e.Proxy, e.ProxyCredentials = StageProxy, proxyAddress(through), through.User != nil
	if a, ok := errors.AsType[*proxyAnswer](e.Err); ok {
		e.Status, e.Phrase, e.RetryAfter, e.ProxySchemes = a.status, a.phrase, a.retryAfter, a.schemes
	}
}

// proxyMayRecover is Temporary for what a proxy did.
func (e *DialError) proxyMayRecover() bool {
	for _, final := range []error{ErrProxyUnauthorized, errProxySetting, ErrNotProxy, errRuleset} {
		if errors.Is(e.Err, final) {
			return false
		}
	}
	return !e.Untrusted() && (e.Status == 0 || isPassing(e.Status))
}

// isPassing reports whether an HTTP status is one of those that may be another
// one a little later.
func isPassing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

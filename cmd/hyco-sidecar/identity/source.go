package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"hyco-sidecar/config"
)

const (
	// fetchTimeout bounds one try to get a token. It is below the ten seconds of an
	// attempt to reach the relay, so that one that waits for a token learns why
	// there is none.
	fetchTimeout = 8 * time.Second
	// latest is how long before its end a token is no longer presented: an attempt
	// lasts up to ten seconds.
	latest = 10 * time.Second
	// The pauses between tries that fail. While firstPause lasts, connections are
	// told what the last try was told.
	firstPause = time.Second
	maxPause   = time.Minute
)

// Source is a relayclient.TokenSource of one identity for the relays of one
// cloud. Make it with [New]; its methods may be called from any goroutine.
type Source struct {
	audience string
	kind     config.IdentityKind
	host     string // who is asked, for identities that are not managed
	asked    azcore.TokenCredential
	client   *http.Client
	log      *slog.Logger
	guard    func(f func()) func()

	start sync.Once
	ctx   context.Context
	stop  context.CancelFunc
	owned sync.WaitGroup
	wake  chan struct{} // holds one when somebody waits for a fetch to begin

	mu       sync.Mutex
	token    string
	expires  time.Time
	err      error // of the last fetch; nil before the first and after success
	failedAt time.Time
	fetching chan struct{} // closed when the fetch that is awaited or in progress has ended; nil: none is
	obtained int64
	failures int64
}

// Options are what a Source may be given; zero values mean none.
type Options struct {
	RootCAs  *x509.CertPool // for Entra ID; nil: the system's
	Resolver *net.Resolver  // looks up who is asked; nil: net's
	Logger   *slog.Logger   // nil discards
	// Control prepares the sockets of connections, as [net.Dialer]'s does.
	Control func(network, address string, c syscall.RawConn) error
	// Guard wraps what runs on the Source's goroutine; nil leaves it as it is.
	Guard func(f func()) func()
}

// New returns a Source for relays of namespace's cloud. It asks for nothing
// before [Source.Start] or the first [Source.Token]. Whoever made it closes it.
func New(entra *config.Entra, namespace string, o Options) *Source {
	c := newCredential(entra, namespace, o)
	s := newSource(c, o)
	s.audience, s.kind, s.client = Audience(namespace), entra.Kind, c.client
	if entra.Kind != config.ManagedIdentity {
		s.host = hostOf(c.authority)
	}
	return s
}

func newSource(asked azcore.TokenCredential, o Options) *Source {
	s := &Source{
		audience: publicAudience,
		asked:    asked,
		log:      o.Logger,
		guard:    o.Guard,
		wake:     make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Start fetches a token and goes on to keep it fresh, beside whoever calls it.
func (s *Source) Start() {
	s.start.Do(func() {
		s.owned.Go(s.guarded(s.keepFresh))
	})
}

// guarded is f as it runs on a goroutine.
func (s *Source) guarded(f func()) func() {
	if s.guard == nil {
		return f
	}
	return s.guard(f)
}

// Close ends all fetching and waits until it has. Token fails from then on.
func (s *Source) Close() {
	s.stop()
	s.start.Do(func() {}) // not any more
	s.owned.Wait()
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

var errClosed = errors.New("identity: closed")

// Token returns the bare token, whatever the relay's audience. While one is good
// it returns at once. Where there is none it waits for the next fetch to end; the
// error is a *[Failure], or ctx's.
func (s *Source) Token(ctx context.Context, _ string) (string, error) {
	s.Start()
	for {
		token, over, err := s.current()
		if over == nil {
			return token, err
		}
		select {
		case <-over: // current knows more now
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-s.ctx.Done():
			return "", errClosed
		}
	}
}

// current returns the token that is good, or why there is none; or, where that is
// not known, what will be closed when a fetch has ended.
func (s *Source) current() (token string, over <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.ctx.Err() != nil:
		return "", nil, errClosed
	case s.good(now):
		return s.token, nil, nil
	case s.fetching != nil:
	case s.err != nil && now.Sub(s.failedAt) < firstPause:
		return "", nil, s.err
	default:
		s.fetching = make(chan struct{})
		s.wake <- struct{}{} // there is room: whoever takes fetching away has emptied it
	}
	return "", s.fetching, nil
}

// good reports whether the token may be presented.
func (s *Source) good(now time.Time) bool { return s.token != "" && now.Before(s.expires.Add(-latest)) }

// keepFresh fetches at once, ahead of each token's end, and when somebody waits.
func (s *Source) keepFresh() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := firstPause
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		s.beginFetch()
		ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
		token, err := s.asked.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.audience + "/.default"}})
		cancel()
		if s.ctx.Err() != nil {
			return // whoever waits sees that as well
		}
		if s.endFetch(token, err) {
			pause = firstPause
			timer.Reset(max(firstPause, untilRefresh(token, time.Now())))
			continue
		}
		timer.Reset(pause/2 + rand.N(pause/2))
		pause = min(2*pause, maxPause)
	}
}

// untilRefresh is how long a token is left alone: until the time that came with
// it, or until a fifth of what was left of it remains. An hour's token is then
// asked for anew with twelve minutes to go, which outlasts more outages than the
// usual five minutes; an endpoint that has nothing newer yet is asked again by the
// same rule.
func untilRefresh(token azcore.AccessToken, now time.Time) time.Duration {
	left := token.ExpiresOn.Round(0).Sub(now.Round(0))
	if at := token.RefreshOn.Round(0).Sub(now.Round(0)); !token.RefreshOn.IsZero() && 0 < at && at < left {
		return at
	}
	return left - left/5
}

// beginFetch notes that a fetch is in progress, for whoever comes meanwhile.
func (s *Source) beginFetch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wake: // this is the fetch that was asked for
	default:
	}
	if s.fetching == nil {
		s.fetching = make(chan struct{})
	}
}

// endFetch notes what the fetch brought, and reports whether that was a token.
func (s *Source) endFetch(token azcore.AccessToken, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.fetching)
	s.fetching = nil
	if err == nil && (token.Token == "" || !time.Now().Before(token.ExpiresOn.Round(0).Add(-latest))) {
		err = &Failure{Problem: Expired, text: "the token that came has expired already"}
	}
	if err != nil {
		s.noteFailure(err)
		return false
	}
	if s.err != nil {
		s.log.Info("Entra ID gives tokens again", "identity", string(s.kind))
	}
	s.token, s.expires, s.err = token.Token, token.ExpiresOn.Round(0), nil // by the clock on the wall, which is put right now and then
	s.obtained++
	s.log.Debug("new Entra ID token", "identity", string(s.kind), "until", s.expires)
	return true
}

// noteFailure notes why there is no new token, and says so once for as long as it
// lasts and hurts nobody: afterwards the connections that fail do.
func (s *Source) noteFailure(err error) {
	f, ok := errors.AsType[*Failure](err)
	if !ok { // of which nobody knows what it holds
		f = &Failure{Problem: Unknown, text: "no token could be had"}
	}
	first := s.err == nil
	s.err, s.failedAt = f, time.Now()
	s.failures++
	if first && s.good(time.Now()) {
		s.log.Warn("no new Entra ID token, the old one is still valid", "until", s.expires,
			"identity", string(s.kind), "error", f)
	}
}

// TokenStats is how a Source fares.
type TokenStats struct {
	Audience string    // what the tokens are made for
	Expires  time.Time // of the token that there is; zero: there never was one
	Obtained int64     // tokens so far
	Failed   int64     // fetches that brought none
}

// TokenStats returns the present state.
func (s *Source) TokenStats() TokenStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return TokenStats{s.audience, s.expires, s.obtained, s.failures}
}

// Expiry is when the token ends that connections are given; ok is false where
// there is none.
func (s *Source) Expiry() (expires time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expires, s.good(time.Now())
}

// Host is who is asked for tokens, as a name or address without a port; empty
// for managed identities, whose endpoint is of this machine.
func (s *Source) Host() string { return s.host }

// String names the identity, and shows nothing of its tokens.
func (s *Source) String() string { return "Entra ID (" + string(s.kind) + ")" }

// Format keeps every verb from showing the token.
func (s *Source) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue does not show the token.
func (s *Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

package fakeentra

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is what tokens for Azure Relay are made for.
const Audience = "https://relay.azure.net"

// Server is a stand-in. Set its fields before its first request, but see
// [Server.Behave]. Empty proofs are refused.
type Server struct {
	Key []byte // signs tokens; whoever accepts them has the same

	Authority string // https://host[:port] of Entra ID, as clients know it
	Tenant    string
	ClientID  string

	Secret      string            // a client secret
	Certificate *x509.Certificate // of a client certificate
	Issuer      string            // of federated assertions
	IssuerKey   crypto.PublicKey
	Subject     string // which of the issuer's the identity trusts

	Header string // what Container Apps has in IDENTITY_HEADER

	Lifetime  time.Duration // of tokens; 0 = an hour
	RefreshIn time.Duration // told with each token; 0 = nothing is told

	// Saw is told of each proof that came and of each token that was made, from
	// several goroutines. Nil: nobody is.
	Saw func(kind, text string)

	mu        sync.Mutex
	behaviour Behaviour
	issued    int
}

// Behaviour is how a Server answers.
type Behaviour string

// The behaviours.
const (
	Orderly Behaviour = "orderly"
	Stalled Behaviour = "stalled" // never
	Failing Behaviour = "failing" // 503
	Leaking Behaviour = "leaking" // refuses, and repeats in the refusal's first sentence what it was sent
	Garbled Behaviour = "garbled" // 200 with a token in something that is not JSON
)

// Behave changes the behaviour, of requests to come.
func (s *Server) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
}

// Issued is how many tokens were made.
func (s *Server) Issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

// Accepts reports whether the token was made by a Server with this Key, is for
// Azure Relay and has not expired.
func (s *Server) Accepts(token string) bool {
	_, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return s.Key, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithAudience(Audience), jwt.WithExpirationRequired())
	return err == nil
}

func (s *Server) report(kind, text string) {
	if s.Saw != nil && text != "" {
		s.Saw(kind, text)
	}
}

// misbehave answers where the Server is not orderly; sent is what the request
// proves itself with.
func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, sent string) bool {
	s.mu.Lock()
	b := s.behaviour
	s.mu.Unlock()
	switch b {
	case Stalled:
		<-r.Context().Done()
	case Failing:
		answer(w, http.StatusServiceUnavailable, map[string]any{
			"error":             "temporarily_unavailable",
			"error_description": "AADSTS90033: A transient error has occurred. Please try again.",
		})
	case Leaking:
		answer(w, http.StatusUnauthorized, map[string]any{
			"error":             "invalid_client",
			"error_description": "AADSTS7000215: Nobody knows " + sent + " here.\r\nTrace ID: 0",
		})
	case Garbled:
		w.Write([]byte("access_token=" + s.token("https://relay.azure.net", time.Now())))
	default:
		return false
	}
	return true
}

// token makes a token for the audience.
func (s *Server) token(audience string, now time.Time) string {
	s.mu.Lock()
	s.issued++
	id := s.issued
	s.mu.Unlock()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"aud": audience, "iat": now.Unix(), "exp": now.Add(s.lifetime()).Unix(), "jti": strconv.Itoa(id),
	}).SignedString(s.Key)
	if err != nil {
		return "" // which nobody accepts
	}
	s.report("token", token)
	return token
}

func (s *Server) lifetime() time.Duration {
	if s.Lifetime == 0 {
		return time.Hour
	}
	return s.Lifetime
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

package fakerelay

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// entraAudiences are what clients ask tokens of Entra ID for; the .NET library
// has the slash at the end.
var entraAudiences = []string{"https://relay.azure.net", "https://relay.azure.net/"}

const bearerScheme = "Bearer "

// withoutBearer is the token behind the scheme, which some clients put before it.
func withoutBearer(text string) string {
	if len(text) > len(bearerScheme) && strings.EqualFold(text[:len(bearerScheme)], bearerScheme) {
		return text[len(bearerScheme):]
	}
	return text
}

// judgeEntra checks a token of Entra ID (RFC 7519) by EntraKey and the relay's
// clock. A good one holds for everything.
func (s *Server) judgeEntra(text string) (expires time.Time, no refusal) {
	const malformed = "MalformedToken: The token is not a JSON web token"
	parts := strings.Split(text, ".")
	var header struct{ Alg string }
	var claims struct {
		Aud      string
		Nbf, Exp int64
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !unpack(parts[0], &header) || !unpack(parts[1], &claims) || claims.Exp == 0 {
		return denied(malformed)
	}
	now := s.now()
	expires = time.Unix(claims.Exp, 0)
	switch {
	case !s.signedByEntra(header.Alg, parts[0]+"."+parts[1], sig):
		return denied("The token has an invalid signature")
	case !slices.Contains(entraAudiences, claims.Aud):
		return denied("InvalidAudience: The authorization header contains a token with a wrong audience")
	case now.After(expires.Add(s.ExpiryLeeway)):
		return denied("ExpiredToken: The token is expired")
	case now.Add(s.ExpiryLeeway).Before(time.Unix(claims.Nbf, 0)):
		return denied("InvalidToken: The token is not valid yet")
	}
	return expires, refusal{}
}

// signedByEntra checks the signature with the only algorithm that fits the key
// (RFC 7518 sections 3.2 and 3.3).
func (s *Server) signedByEntra(algorithm, signed string, sig []byte) bool {
	switch key := s.EntraKey.(type) {
	case *rsa.PublicKey:
		sum := sha256.Sum256([]byte(signed))
		return algorithm == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) == nil
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		return algorithm == "HS256" && hmac.Equal(mac.Sum(nil), sig)
	}
	return false
}

// unpack decodes a part of a token.
func unpack(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

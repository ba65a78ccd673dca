package fakerelay

import (
	"net/http"
	"strings"
	"time"
)

// right is what a request wants to do.
type right int

const (
	toListen right = iota
	toSend
	toRead // the description: any right will do
)

// refusal is a status and a text; the zero value is consent.
type refusal struct {
	status int
	text   string
}

// presentedToken is the token of a request, and whether it is in Authorization,
// which is only the relay's when nothing else is there.
func (r *request) presentedToken() (text string, inAuthorization bool) {
	if text := r.Header.Get("ServiceBusAuthorization"); text != "" {
		return text, false
	}
	if text, _ := r.parameter("sb-hc-token"); text != "" {
		return text, false
	}
	return r.Header.Get("Authorization"), true
}

// authorize judges a request's token.
func (s *Server) authorize(r *request, path string, want right) (expires time.Time, no refusal) {
	text, _ := r.presentedToken()
	return s.authorizeToken(text, r.Host, path, want)
}

// checkExists is a refusal when nothing is registered at path.
func (s *Server) checkExists(path string) refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, _ := s.lookup(path); h == nil {
		return refusal{http.StatusNotFound, "Endpoint does not exist"}
	}
	return refusal{}
}

func denied(text string) (time.Time, refusal) {
	return time.Time{}, refusal{http.StatusUnauthorized, text}
}

// takes reports whether a token is one that the test vouches for.
func (s *Server) takes(token string) bool {
	return s.StaticBearer != "" && token == s.StaticBearer || s.Bearer != nil && s.Bearer(token)
}

// authorizeToken checks in the order token, entity, claim. The expiry is that of
// the token, zero for a token without one.
func (s *Server) authorizeToken(text, host, path string, want right) (time.Time, refusal) {
	if text == "" {
		return denied("MissingToken: The request carries no token")
	}
	if bare := withoutBearer(text); s.takes(bare) {
		return time.Time{}, s.checkExists(path)
	} else if s.EntraKey != nil && isJWT(bare) {
		expires, no := s.judgeEntra(bare)
		if no.status == 0 {
			no = s.checkExists(path)
		}
		return expires, no
	}
	t, err := parseToken(text)
	if err != nil {
		return denied("MalformedToken: The token is not a shared access signature")
	}
	if !t.covers(host, path) {
		return denied("InvalidAudience: The authorization header contains a token with a wrong audience")
	}
	s.mu.Lock()
	h, _ := s.lookup(path)
	rules := s.Rules
	if h != nil {
		rules = append(rules[:len(rules):len(rules)], h.Rules...)
	}
	s.mu.Unlock()

	var rule *Rule
	for i := range rules {
		if rules[i].Name == t.keyName {
			rule = &rules[i]
		}
	}
	switch {
	case rule == nil && h == nil && s.UnknownEntityStatus != http.StatusUnauthorized:
		// Nobody can say whose key it would be.
	case rule == nil || !t.signedWith(rule.Key) && (rule.Secondary == "" || !t.signedWith(rule.Secondary)):
		return denied("The token has an invalid signature")
	}
	if s.now().After(t.expires.Add(s.ExpiryLeeway)) {
		return denied("ExpiredToken: The token is expired")
	}
	if h == nil {
		return time.Time{}, refusal{http.StatusNotFound, "Endpoint does not exist"}
	}
	if want == toListen && !rule.Listen || want == toSend && !rule.Send || want == toRead && !rule.Listen && (!rule.Send || s.SendMayNotRead) {
		status := s.MissingClaimStatus
		if status == 0 {
			status = http.StatusUnauthorized
		}
		name := map[right]string{toListen: "Listen", toSend: "Send", toRead: "Listen"}[want]
		return time.Time{}, refusal{status, "Unauthorized access. '" + name + "' claim(s) are required to perform this operation"}
	}
	return t.expires, refusal{}
}

// isJWT tells a JSON web token from a shared access signature, whose entity and host may
// have dots as well.
func isJWT(token string) bool {
	return strings.Count(token, ".") == 2 && !strings.HasPrefix(token, "SharedAccessSignature")
}

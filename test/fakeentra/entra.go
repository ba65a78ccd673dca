package fakeentra

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// refusal is one of Entra ID: a code and its sentence.
type refusal struct {
	code int
	text string
}

// Entra is Entra ID, to be served over HTTPS at Authority: OpenID Connect
// Discovery, and the token endpoint's client credentials grant (RFC 6749 §4.4)
// with a secret, or an assertion (RFC 7523 §2.2).
func (s *Server) Entra() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		if s.misbehave(w, r, "") {
			return
		}
		base := s.Authority + "/" + r.PathValue("tenant")
		answer(w, http.StatusOK, map[string]any{
			"authorization_endpoint": base + "/oauth2/v2.0/authorize",
			"token_endpoint":         base + "/oauth2/v2.0/token",
			"issuer":                 base + "/v2.0",
		})
	})
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		secret, assertion := r.PostFormValue("client_secret"), r.PostFormValue("client_assertion")
		s.report("secret", secret)
		s.report("assertion", assertion)
		if s.misbehave(w, r, secret+assertion) {
			return
		}
		audience := ""
		for scope := range strings.FieldsSeq(r.PostFormValue("scope")) { // those of OpenID Connect may stand beside it
			if a, ok := strings.CutSuffix(scope, "/.default"); ok {
				audience = a
			}
		}
		refused := s.judge(r.PathValue("tenant"), r.PostFormValue("client_id"), secret, assertion)
		switch {
		case r.PostFormValue("grant_type") != "client_credentials":
			refused = &refusal{70003, "The app requested an unsupported grant type."}
		case refused == nil && audience != Audience:
			refused = &refusal{500011, fmt.Sprintf("The resource principal named %s was not found in the tenant.", audience)}
		}
		if refused != nil {
			answer(w, http.StatusUnauthorized, map[string]any{
				"error":       "invalid_client",
				"error_codes": []int{refused.code},
				"error_description": fmt.Sprintf("AADSTS%d: %s More about it stands here. Trace ID: 2af5 Correlation ID: 00\r\n"+
					"Timestamp: 2026-01-01 00:00:00Z", refused.code, refused.text),
			})
			return
		}
		body := map[string]any{"token_type": "Bearer", "expires_in": int(s.lifetime().Seconds()), "access_token": s.token(audience, time.Now())}
		if s.RefreshIn > 0 {
			body["refresh_in"] = int(s.RefreshIn.Seconds())
		}
		answer(w, http.StatusOK, body)
	})
	return mux
}

// judge checks the proof; nil is consent.
func (s *Server) judge(tenant, clientID, secret, assertion string) *refusal {
	switch {
	case tenant != s.Tenant:
		return &refusal{90002, "Tenant '" + tenant + "' not found."}
	case clientID != s.ClientID:
		return &refusal{700016, "Application with identifier '" + clientID + "' was not found in the directory."}
	case secret != "":
		if s.Secret == "" || secret != s.Secret {
			return &refusal{7000215, "Invalid client secret provided."}
		}
		return nil
	}
	unverified, _, err := jwt.NewParser().ParseUnverified(assertion, jwt.MapClaims{})
	if err != nil {
		return &refusal{50027, "JWT token is invalid or malformed."}
	}
	if issuer, _ := unverified.Claims.GetIssuer(); issuer == s.ClientID {
		return s.judgeCertificate(tenant, assertion)
	}
	return s.judgeFederated(assertion)
}

// judgeCertificate checks an assertion that the client has signed itself.
func (s *Server) judgeCertificate(tenant, assertion string) *refusal {
	if s.Certificate == nil {
		return &refusal{700027, "The certificate with identifier used to sign the client assertion is not registered on application."}
	}
	_, err := jwt.Parse(assertion, func(*jwt.Token) (any, error) { return s.Certificate.PublicKey, nil },
		jwt.WithValidMethods([]string{"PS256", "RS256"}), jwt.WithSubject(s.ClientID), jwt.WithExpirationRequired(),
		jwt.WithAudience(s.Authority+"/"+tenant+"/oauth2/v2.0/token", s.Authority+"/"+tenant+"/v2.0"))
	if err != nil {
		return &refusal{700027, "The certificate with identifier used to sign the client assertion is not registered on application."}
	}
	return nil
}

// judgeFederated checks an assertion of an issuer that the identity trusts.
func (s *Server) judgeFederated(assertion string) *refusal {
	if s.IssuerKey == nil {
		return &refusal{70021, "No matching federated identity record found for presented assertion."}
	}
	_, err := jwt.Parse(assertion, func(*jwt.Token) (any, error) { return s.IssuerKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(s.Issuer), jwt.WithSubject(s.Subject),
		jwt.WithAudience("api://AzureADTokenExchange"), jwt.WithExpirationRequired())
	if err != nil {
		return &refusal{700213, "No matching federated identity record found for presented assertion subject."}
	}
	return nil
}

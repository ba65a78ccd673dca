package fakeentra

import (
	"net/http"
	"strconv"
	"time"
)

// Managed is the endpoint of managed identities, to be served over HTTP: that of
// a virtual machine (IMDS) at /metadata/identity/oauth2/token, and that of
// Container Apps and App Service at /msi/token.
func (s *Server) Managed() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metadata/identity/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "true" || r.FormValue("api-version") == "" {
			answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "Required metadata header not specified"})
			return
		}
		s.serveManaged(w, r, "", func(text string) map[string]any {
			return map[string]any{"error": "invalid_request", "error_description": text}
		})
	})
	mux.HandleFunc("GET /msi/token", func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("X-IDENTITY-HEADER")
		s.report("header", header)
		if s.Header == "" || header != s.Header || r.FormValue("api-version") != "2019-08-01" {
			answer(w, http.StatusForbidden, map[string]any{"statusCode": http.StatusForbidden, "message": "The header does not match."})
			return
		}
		s.serveManaged(w, r, header, func(text string) map[string]any {
			return map[string]any{"statusCode": http.StatusBadRequest, "message": text}
		})
	})
	return mux
}

// serveManaged answers a request that may be answered; refuse makes the body of a
// refusal.
func (s *Server) serveManaged(w http.ResponseWriter, r *http.Request, sent string, refuse func(text string) map[string]any) {
	clientID := r.FormValue("client_id")
	switch {
	case s.misbehave(w, r, sent):
	case clientID != "" && clientID != s.ClientID:
		answer(w, http.StatusBadRequest, refuse("Identity not found"))
	case r.FormValue("resource") != Audience:
		answer(w, http.StatusBadRequest, refuse("AADSTS500011: The resource principal was not found in the tenant."))
	default:
		now := time.Now()
		body := map[string]any{ // numbers are text here
			"access_token": s.token(Audience, now),
			"client_id":    s.ClientID,
			"expires_on":   strconv.FormatInt(now.Add(s.lifetime()).Unix(), 10),
			"resource":     Audience,
			"token_type":   "Bearer",
		}
		if s.RefreshIn > 0 {
			body["refresh_in"] = strconv.Itoa(int(s.RefreshIn.Seconds()))
		}
		answer(w, http.StatusOK, body)
	}
}

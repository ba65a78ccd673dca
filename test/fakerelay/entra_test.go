package fakerelay_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
)

// jwt makes a token as Entra ID does, signed with RS256.
func jwt(t testing.TB, key *rsa.PrivateKey, algorithm string, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]any{"typ": "JWT", "alg": algorithm}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestTokensOfEntraIDAreCheckedByTheirKeyAndTheRelaysClock(t *testing.T) {
	key, other := rsaKey(t), rsaKey(t)
	const ahead = 48 * time.Hour
	now := time.Now().Add(ahead)
	claims := func(audience string, from, until time.Duration) map[string]any {
		return map[string]any{"aud": audience, "nbf": now.Add(from).Unix(), "exp": now.Add(until).Unix()}
	}
	good := jwt(t, key, "RS256", claims("https://relay.azure.net/", -time.Minute, time.Hour))
	b := newBench(t, &fakerelay.Server{EntraKey: &key.PublicKey, Clock: func() time.Time { return time.Now().Add(ahead) }})
	for _, tt := range []struct{ name, token, want string }{
		{"bare", good, "404 There are no listeners"},
		{"with Bearer", "Bearer " + good, "404 There are no listeners"},
		{"with bearer", "bearer " + good, "404 There are no listeners"},
		{"audience without slash", jwt(t, key, "RS256", claims("https://relay.azure.net", -time.Minute, time.Hour)), "404 There are no listeners"},
		{"another key", jwt(t, other, "RS256", claims("https://relay.azure.net/", -time.Minute, time.Hour)), "401 The token has an invalid signature"},
		{"no signature", strings.Join(strings.Split(good, ".")[:2], ".") + ".", "401 The token has an invalid signature"},
		{"another algorithm", jwt(t, key, "none", claims("https://relay.azure.net/", -time.Minute, time.Hour)), "401 The token has an invalid signature"},
		{"another audience", jwt(t, key, "RS256", claims("https://management.azure.com/", -time.Minute, time.Hour)), "401 InvalidAudience: "},
		{"expired", jwt(t, key, "RS256", claims("https://relay.azure.net/", -time.Hour, -time.Minute)), "401 ExpiredToken: "},
		{"good by another clock", jwt(t, key, "RS256", claims("https://relay.azure.net/", -ahead, time.Hour-ahead)), "401 ExpiredToken: "},
		{"not valid yet", jwt(t, key, "RS256", claims("https://relay.azure.net/", time.Hour, 2*time.Hour)), "401 InvalidToken: "},
		{"without an end", jwt(t, key, "RS256", map[string]any{"aud": "https://relay.azure.net/"}), "401 MalformedToken: "},
		{"garbage", "eyJ.e30.x", "401 MalformedToken: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for carrier, got := range map[string]string{
				"header":        b.status(http.Header{"ServiceBusAuthorization": {tt.token}}, connectTarget),
				"query":         b.status(nil, connectTarget+"&sb-hc-token="+url.QueryEscape(tt.token)),
				"Authorization": b.status(http.Header{"Authorization": {tt.token}}, connectTarget),
			} {
				if !strings.HasPrefix(got, tt.want) {
					t.Errorf("in the %s: got %s, want %s", carrier, got, tt.want)
				}
			}
		})
	}
	if got := b.status(http.Header{"ServiceBusAuthorization": {good}}, "/$hc/nowhere"); !strings.HasPrefix(got, "404 Endpoint does not exist") {
		t.Errorf("unknown entity: %s", got)
	}
}

func TestTokensOfEntraIDKeepAControlChannel(t *testing.T) {
	key := rsaKey(t)
	const ahead = -48 * time.Hour // a relay that asks another clock is off by days
	token := func(until time.Duration) string {
		return jwt(t, key, "RS256", map[string]any{"aud": "https://relay.azure.net/", "exp": time.Now().Add(ahead + until).Unix()})
	}
	for _, prefix := range []string{"", "Bearer "} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &fakerelay.Server{EntraKey: &key.PublicKey, TokenGrace: time.Millisecond, Clock: func() time.Time { return time.Now().Add(ahead) }})
			listen := func(until time.Duration) func(string) {
				ctl, resp := b.request(http.Header{"ServiceBusAuthorization": {prefix + token(until)}}, listenTarget)
				if resp.StatusCode != http.StatusSwitchingProtocols {
					t.Fatal(resp.Status)
				}
				return func(text string) {
					t.Helper()
					if text == "" {
						wantTracked(t, ctl, 1008, "ExpiredToken: The token is expired", "l1")
						return
					}
					command, _ := json.Marshal(map[string]any{"renewToken": map[string]string{"token": text}})
					ctl.WriteFrame(ws.OpText, true, command)
					ctl.WriteFrame(ws.OpPing, true, []byte("still?"))
					wantFrame(t, ctl, ws.OpPong, true, "still?")
				}
			}
			listen(2 * time.Second)("")
			renewed := listen(time.Hour)
			renewed(prefix + token(time.Hour))
			renewed(prefix + token(2*time.Second)) // the shorter one holds from now on
			renewed("")
		})
	}
}

// A token whose judge is the test's own has no end.
func TestRenewalWithATokenOfTheTestsOwn(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Bearer: func(token string) bool { return token == "eyJ.eyJ.c2ln" }})
	ctl, resp := b.request(http.Header{"ServiceBusAuthorization": {"eyJ.eyJ.c2ln"}}, listenTarget)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	ctl.WriteFrame(ws.OpText, true, []byte(`{"renewToken":{"token":"Bearer eyJ.eyJ.c2ln"}}`))
	ctl.WriteFrame(ws.OpPing, true, []byte("still?"))
	wantFrame(t, ctl, ws.OpPong, true, "still?")
	ctl.WriteFrame(ws.OpText, true, []byte(`{"renewToken":{"token":"eyJ.eyJ.another"}}`))
	wantTracked(t, ctl, 1008, "MalformedToken: The token is not a shared access signature", "l1")
}

package fakerelay_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/fakerelay"
)

const tracked = `\. TrackingId:8a2f_G0, SystemTracker:sb://localhost/orders-hc, Timestamp:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`

func sas(audience string, rule fakerelay.Rule, left time.Duration) http.Header {
	return http.Header{"ServiceBusAuthorization": {fakerelay.SAS(audience, rule, time.Now().Add(left))}}
}

func TestRefusalsCarryTheServicesPhrases(t *testing.T) {
	forged := sendRule
	forged.Key = "another"
	good := sas(audience, sendRule, time.Hour)
	tests := []struct {
		name   string
		header http.Header
		target string
		want   string
	}{
		{"no token", nil, connectTarget, `401 MissingToken: .*` + tracked},
		{"malformed", http.Header{"ServiceBusAuthorization": {"SharedAccessSignature sr=x"}}, connectTarget, `401 MalformedToken: .*` + tracked},
		{"JWT", http.Header{"ServiceBusAuthorization": {"eyJ0eXAi.eyJh.c2ln"}}, connectTarget, `401 MalformedToken: .*` + tracked},
		{"signature", sas(audience, forged, time.Hour), connectTarget, `401 The token has an invalid signature` + tracked},
		{"unknown rule", sas(audience, fakerelay.Rule{Name: "nobody", Key: "k"}, time.Hour), connectTarget, `401 The token has an invalid signature` + tracked},
		{"expired", sas(audience, sendRule, -time.Minute), connectTarget, `401 ExpiredToken: .*` + tracked},
		{"audience", sas("http://localhost/other-hc/", sendRule, time.Hour), connectTarget, `401 InvalidAudience: The authorization header contains a token with a wrong audience` + tracked},
		{"audience of a longer name", sas("http://localhost/orders-hc-2", sendRule, time.Hour), connectTarget, `401 InvalidAudience: .*` + tracked},
		{"audience of a shorter name", sas("http://localhost/orders", sendRule, time.Hour), connectTarget, `401 InvalidAudience: .*` + tracked},
		{"audience of another host", sas("http://fabrikam/orders-hc", sendRule, time.Hour), connectTarget, `401 InvalidAudience: .*` + tracked},
		{"claim", sas(audience, listenRule, time.Hour), connectTarget, `401 Unauthorized access\. 'Send' claim.*` + tracked},
		{"no listener", good, connectTarget, `404 There are no listeners connected for the endpoint` + tracked},
		{"unknown entity", sas("http://localhost/", sendRule, time.Hour), "/$hc/nowhere?sb-hc-action=connect&sb-hc-id=8a2f",
			`404 Endpoint does not exist\. TrackingId:8a2f_G0, SystemTracker:sb://localhost/nowhere, Timestamp:.*$`},
		{"unknown entity of a listener", sas("http://localhost/", listenRule, time.Hour), "/$hc/nowhere?sb-hc-action=listen&sb-hc-id=8a2f",
			`404 Endpoint does not exist\. TrackingId:8a2f_G0, .*$`},
		{"listen with a send key", good, "/$hc/orders-hc?sb-hc-action=listen&sb-hc-id=8a2f", `401 Unauthorized access\. 'Listen' claim.*` + tracked},
		{"unknown accept id", nil, "/$hc/orders-hc?sb-hc-action=accept&sb-hc-id=8a2f", `403 .*` + tracked},
		{"unknown action", good, "/$hc/orders-hc?sb-hc-action=dance&sb-hc-id=8a2f", `400 .*` + tracked},
	}
	b := newBench(t, &fakerelay.Server{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := b.status(tt.header, tt.target); !regexp.MustCompile("^" + tt.want).MatchString(got) {
				t.Errorf("got %q, want %s", got, tt.want)
			}
		})
	}
}

func TestMissingClaimStatusIsAnOption(t *testing.T) {
	b := newBench(t, &fakerelay.Server{MissingClaimStatus: http.StatusForbidden})
	if got := b.status(b.token(listenRule), connectTarget); !strings.HasPrefix(got, "403 ") {
		t.Errorf("got %s", got)
	}
}

// The audiences that the known clients sign are all taken; so is each carrier.
func TestTokensOfTheKnownClientsAreAccepted(t *testing.T) {
	later := time.Now().Add(time.Hour)
	lowerHex := func(token string) string {
		return regexp.MustCompile(`%[0-9A-F]{2}`).ReplaceAllStringFunc(token, strings.ToLower)
	}
	b := newBench(t, &fakerelay.Server{StaticBearer: "eyJ0eXAi.eyJh.c2ln"})
	tests := map[string]string{
		".NET":             fakerelay.SAS("http://localhost/orders-hc/", sendRule, later),
		"Node, with port":  fakerelay.SAS("http://localhost:443/orders-hc", sendRule, later),
		"Java, no path":    fakerelay.SAS("sb://localhost:8443", sendRule, later),
		"aztunnel, https":  fakerelay.SAS("https://localhost/orders-hc", sendRule, later),
		"other case":       fakerelay.SAS("http://LOCALHOST/Orders-HC/", sendRule, later),
		"the static token": "eyJ0eXAi.eyJh.c2ln",
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			for carrier, got := range map[string]string{
				"header":        b.status(http.Header{"ServiceBusAuthorization": {token}}, connectTarget),
				"query":         b.status(nil, connectTarget+"&sb-hc-token="+url.QueryEscape(token)),
				"Authorization": b.status(http.Header{"Authorization": {token}}, connectTarget),
			} {
				if !strings.HasPrefix(got, "404 There are no listeners") {
					t.Errorf("in the %s: %s", carrier, got)
				}
			}
		})
	}
	// .NET escapes in lower case, and signs what it escaped.
	if lower := lowerHex(tests["Node, with port"]); b.status(http.Header{"ServiceBusAuthorization": {lower}}, connectTarget)[:3] != "401" {
		t.Error("the signature was not checked over the raw sr")
	}
}

// The service was seen to take the prefix in ServiceBusAuthorization too.
func TestBearerPrefixIsTakenInEveryCarrier(t *testing.T) {
	b := newBench(t, &fakerelay.Server{StaticBearer: "eyJ0eXAi.eyJh.c2ln"})
	for _, carrier := range []string{"Authorization", "ServiceBusAuthorization"} {
		if got := b.status(http.Header{carrier: {"Bearer eyJ0eXAi.eyJh.c2ln"}}, connectTarget); got[:3] != "404" {
			t.Errorf("%s: %s", carrier, got)
		}
	}
}

func TestNamespaceRulesHoldForEveryEntity(t *testing.T) {
	root := fakerelay.Rule{Name: "root", Key: "a2V5", Send: true, Listen: true}
	b := newBench(t, &fakerelay.Server{Rules: []fakerelay.Rule{root}})
	if got := b.status(b.token(root), connectTarget); !strings.HasPrefix(got, "404 There are no listeners") {
		t.Errorf("got %s", got)
	}
}

func TestAnonymousEntityTakesSendersWithoutToken(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Entities: []fakerelay.Entity{{Path: "open/door", Anonymous: true}}})
	if got := b.status(nil, "/$hc/open/door/suffix?sb-hc-action=connect"); !strings.HasPrefix(got, "404 There are no listeners") {
		t.Errorf("connect: %s", got)
	}
	if got := b.status(nil, "/$hc/open/door?sb-hc-action=listen"); !strings.HasPrefix(got, "401 MissingToken") {
		t.Errorf("listen: %s", got)
	}
}

func TestMalformedHandshakeIsRefused(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	b.control()
	d := b.dial
	d.Plain = true
	d.Header = b.token(sendRule)
	c, resp, err := d.Request(t.Context(), connectTarget)
	if err != nil {
		t.Fatal(err)
	}
	c.TLS.Close()
	if got, want := resp.Status, "400 The request is not a websocket handshake. TrackingId:"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q…", got, want)
	}
}

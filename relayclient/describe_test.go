package relayclient_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

func TestHybridConnectionIsDescribed(t *testing.T) {
	const metadata = `[{"key":"owner","value":"team <orders>"},{"key":"Endpoint","value":"SQL01.corp.example:1433"}]`
	w := start(t, func(r *fakerelay.Server) { r.Entities[0].UserMetadata = metadata })
	w.listen(t, fakelistener.HCM, func(c *net.TCPConn) { c.Close() })
	d, err := w.client.Describe(t.Context(), w.request())
	if err != nil || d.Listeners != 1 || d.Metadata != metadata {
		t.Fatalf("got %+v, %v", d, err)
	}
	if endpoint, err := d.Endpoint(); endpoint != "SQL01.corp.example:1433" || err != nil {
		t.Errorf("got %q, %v", endpoint, err)
	}
}

func TestDescriptionIsRefused(t *testing.T) {
	w := start(t, func(r *fakerelay.Server) { r.SendMayNotRead = true })
	w.listen(t, fakelistener.HCM, func(c *net.TCPConn) { c.Close() })
	describe := func(entity string, tokens relayclient.TokenSource) *relayclient.DialError {
		t.Helper()
		_, err := w.client.Describe(t.Context(), relayclient.Request{Entity: entity, Tokens: tokens})
		failed, ok := errors.AsType[*relayclient.DialError](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		return failed
	}
	right, wrong := relayclient.NewSASKey("defaultSender", sendKey), relayclient.NewSASKey("defaultSender", "wrong")
	for _, test := range []struct {
		got    *relayclient.DialError
		reason string
		token  relayclient.TokenKind
	}{
		{describe("orders-hc", right), "metadata_not_readable", relayclient.SignedToken},
		{describe("orders-hc", wrong), "unauthorized", relayclient.SignedToken},
		{describe("missing-hc", right), "unknown_entity", relayclient.SignedToken},
		{describe("orders-hc", nil), "unauthorized", relayclient.NoToken},
	} {
		if test.got.Reason() != test.reason || test.got.Token != test.token || test.got.Temporary() {
			t.Errorf("got %s %v, token %d", test.got.Reason(), test.got, test.got.Token)
		}
	}
	listen := relayclient.NewRollover(right, relayclient.NewSASKey("defaultListener", "listen-key"))
	if d, err := w.client.Describe(t.Context(), relayclient.Request{Entity: "orders-hc", Tokens: listen}); err != nil || d.Listeners != 1 {
		t.Errorf("with a second key: got %+v, %v", d, err)
	}
}

func TestEndpointOfMetadata(t *testing.T) {
	for metadata, want := range map[string]string{
		`[{"key":"endpoint","value":"sql01:1433"}]`:                                      "sql01:1433",
		`[{"Key":"ENDPOINT","Value":"Sql01.Corp.Example:1433"},{"key":"x","value":"y"}]`: "Sql01.Corp.Example:1433",
		`[{"key":"endpoint","value":"a:1"},{"key":"endpoint","value":"A:1"}]`:            "A:1",
		`[{"key":"weight","value":5},{"key":"endpoint","value":"a:1"}]`:                  "a:1",
		`[{"key":"endpoint","value":5}]`:                                                 `metadata_unusable: the hybrid connection's metadata has a key "endpoint" whose value is no text`,
		``:                                                                               "metadata_missing: the hybrid connection has no metadata",
		`[]`:                                                                             `metadata_missing: the hybrid connection's metadata has no key "endpoint"`,
		`[{"key":"endpoint","value":"a:1"},{"key":"endpoint","value":"b:1"}]`: "metadata_unusable: the hybrid connection's metadata names two endpoints",
		`[{"key":"endpoint","value":"sql01"}]`:                                "metadata_unusable: the hybrid connection's metadata names the endpoint \"sql01\", which is not host:port",
		`[{"key":"endpoint","value":"fd00::1:1433"}]`:                         "metadata_unusable:",
		"for the\nshop": `metadata_unusable: the hybrid connection's metadata is not a list of keys and values: "for the shop"`,
	} {
		got, err := relayclient.Description{Metadata: metadata}.Endpoint()
		if e, ok := errors.AsType[*relayclient.MetadataError](err); ok {
			got = fmt.Sprintf("%s: %v", e.Reason(), e)
		}
		if got != want && (err == nil || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %q, want %q", metadata, got, want)
		}
	}
}

func TestDescriptionOfSomethingElse(t *testing.T) {
	for body, reason := range map[string]string{
		"<html>welcome</html>": "not_a_relay",
		"welcome":              "not_a_relay",
		"":                     "not_a_relay",
	} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		defer server.Close()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		client := &relayclient.Client{Namespace: server.Listener.Addr().String(), RootCAs: roots}
		_, err := client.Describe(t.Context(), relayclient.Request{Entity: "orders-hc"})
		if failed, _ := errors.AsType[*relayclient.DialError](err); failed == nil || failed.Reason() != reason {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

package fakerelay_test

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

// send opens a connection and sends a sender's request with these headers,
// which are written as they are spelled.
func (b *bench) send(header http.Header, target string) *rawsender.Conn {
	b.t.Helper()
	d := b.dial
	d.Header = b.token(sendRule)
	maps.Copy(d.Header, header)
	c, err := d.Send(b.t.Context(), target)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.TLS.Close() })
	return c
}

// The library's AcceptHandlerTest looks its header up by the name that it sent.
func TestHeaderNamesKeepTheirCase(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	b.send(http.Header{"CustomHeader1": {"a;b"}, "x-lower": {"1"}, "X-UPPER": {"2"}, "X-Twice": {"1", "2"}}, connectTarget)
	got := readAccept(t, ctl).ConnectHeaders
	for name, want := range map[string]string{
		"CustomHeader1": "a;b", "x-lower": "1", "X-UPPER": "2", "X-Twice": "1, 2",
		"Sec-WebSocket-Version": "13", "Host": "localhost", "Upgrade": "websocket",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q, in %v", name, got[name], want, got)
		}
	}
	for _, other := range []string{"Customheader1", "X-Lower", "X-Upper", "Sec-Websocket-Version"} {
		if _, ok := got[other]; ok {
			t.Errorf("%s was never sent so", other)
		}
	}
}

func TestTokensAreHiddenFromTheListenerInAnyCase(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	token := fakerelay.SAS(audience, sendRule, time.Now().Add(time.Hour))
	for _, name := range []string{"servicebusauthorization", "SERVICEBUSAUTHORIZATION", "authorization", "AUTHORIZATION"} {
		d := b.dial
		d.Header = http.Header{name: {token}}
		c, err := d.Send(t.Context(), connectTarget)
		if err != nil {
			t.Fatal(err)
		}
		defer c.TLS.Close()
		for seen, value := range readAccept(t, ctl).ConnectHeaders {
			if strings.EqualFold(seen, name) || strings.Contains(value, "sig=") {
				t.Errorf("%s reached the listener as %s", name, seen)
			}
		}
	}
}

// The library's live test connects a sender that names no action.
func TestActionMayBeMissingAndIsReadInAnyCase(t *testing.T) {
	for _, target := range []string{
		"/$hc/orders-hc", "/$hc/orders-hc?tenant=7", "/$hc/orders-hc?sb-hc-action=", "/$hc/orders-hc?sb-hc-action=Connect",
		"/$hc/orders-hc?SB-HC-Action=CONNECT&Sb-Hc-Id=8a2f",
	} {
		t.Run(target, func(t *testing.T) {
			b := newBench(t, &fakerelay.Server{})
			ctl, resp := b.request(b.token(listenRule), "/$hc/orders-hc?sb-hc-action=Listen&sb-hc-id=l1")
			if resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("Listen: %s", resp.Status)
			}
			sender := b.send(nil, target)
			a := readAccept(t, ctl)
			if _, resp := b.request(nil, strings.Replace(a.target(), "sb-hc-action=accept", "sb-hc-action=ACCEPT", 1)); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("ACCEPT: %s", resp.Status)
			}
			if resp, err := sender.ReadResponse(); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("connect: %v %v", resp, err)
			}
		})
	}
}

func TestRejectionWithAStatusThatIsNoneIsNoAccept(t *testing.T) {
	for _, status := range []string{"99", "101", "0", "-1", "1000", "abc", ""} {
		t.Run(status, func(t *testing.T) {
			b := newBench(t, &fakerelay.Server{})
			ctl := b.control()
			sender := b.connect()
			a := readAccept(t, ctl)
			if got := b.status(nil, a.target()+"&sb-hc-statusCode="+status+"&sb-hc-statusDescription=x"); !strings.HasPrefix(got, "410 ") {
				t.Errorf("the listener got %s, want 410", got)
			}
			resp, err := sender.ReadResponse()
			if err != nil || !strings.HasPrefix(resp.Status, "502 The listener rejected the connection without a valid status. TrackingId:8a2f_G0, ") {
				t.Errorf("the sender got %v %v, want 502", resp, err)
			}
		})
	}
}

// The library writes the standard phrase of a status itself; who leaves the
// description out means the same.
func TestRejectionWithoutADescriptionHasTheStandardPhrase(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	sender := b.connect()
	b.status(nil, readAccept(t, ctl).target()+"&sb-hc-statusCode=503")
	if resp, err := sender.ReadResponse(); err != nil || resp.Status != "503 Service Unavailable" {
		t.Errorf("the sender got %v %v", resp, err)
	}
}

func TestExtensionIsTheListenersChoice(t *testing.T) {
	const offered, chosen = "permessage-deflate; client_max_window_bits, x-other", "permessage-deflate; server_no_context_takeover"
	for _, tt := range []struct{ name, offers, asks, want string }{
		{"chosen", offered, chosen, chosen},
		{"not chosen", offered, "", ""},
		{"never offered", "", chosen, ""},
		{"another one", "x-other", chosen, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, &fakerelay.Server{})
			ctl := b.control()
			var header http.Header
			if tt.offers != "" {
				header = http.Header{"Sec-WebSocket-Extensions": {tt.offers}}
			}
			sender := b.send(header, connectTarget)
			a := readAccept(t, ctl)
			if got := a.ConnectHeaders["Sec-WebSocket-Extensions"]; got != tt.offers {
				t.Errorf("the listener is told %q, want %q", got, tt.offers)
			}
			header = nil
			if tt.asks != "" {
				header = http.Header{"Sec-WebSocket-Extensions": {tt.asks}}
			}
			listener, resp := b.request(header, a.target())
			if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != tt.want {
				t.Errorf("the listener got %q, want %q", got, tt.want)
			}
			resp, err := sender.ReadResponse()
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != tt.want {
				t.Errorf("the sender got %q, want %q", got, tt.want)
			}
			// A compressed frame carries RSV1 (RFC 7692 section 6), which without
			// an extension is a violation (RFC 6455 section 5.2).
			frame := ws.NewBinaryFrame([]byte("deflated"))
			frame.Header.Rsv = ws.Rsv(true, false, false)
			if err := ws.WriteFrame(sender.TLS, ws.MaskFrameInPlace(frame)); err != nil {
				t.Fatal(err)
			}
			h, payload, err := listener.ReadFrame()
			if tt.want == "" {
				if err == nil {
					t.Errorf("RSV1 passed without an extension: %+v %q", h, payload)
				}
				return
			}
			if err != nil || h.Rsv != ws.Rsv(true, false, false) || string(payload) != "deflated" {
				t.Errorf("got %+v %q %v, want the frame with RSV1", h, payload, err)
			}
		})
	}
}

// The .NET listener spins for ever on an accept message over 64 KiB.
func TestAcceptMessageOver64KiBIsRefusedToTheSender(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	sender := b.send(http.Header{"X-Large": {strings.Repeat("x", 70<<10)}}, connectTarget)
	resp, err := sender.ReadResponse()
	if err != nil || !strings.HasPrefix(resp.Status, "431 The headers do not fit into an accept message of 64 KiB. TrackingId:8a2f_G0, ") {
		t.Fatalf("the sender got %v %v, want 431", resp, err)
	}
	b.send(http.Header{"X-Large": {strings.Repeat("x", 60<<10)}}, connectTarget)
	h, text, err := ctl.ReadFrame()
	if err != nil || h.OpCode != ws.OpText || len(text) > 64<<10 || len(parseAccept(t, text).ConnectHeaders["X-Large"]) != 60<<10 {
		t.Errorf("got %+v, %d bytes, %v; want the accept message of the smaller one", h, len(text), err)
	}
}

func TestHeadWithoutEndIsRefused(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	start := time.Now()
	_, resp := b.request(http.Header{"X-Huge": {strings.Repeat("x", 2<<20)}}, connectTarget)
	if !strings.HasPrefix(resp.Status, "431 ") || time.Since(start) > rawsender.Patience/2 {
		t.Errorf("got %s after %v", resp.Status, time.Since(start))
	}
}

func TestHTTPRequestsAreRefusedInWordsThatSaySo(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	for target, want := range map[string]string{
		"/orders-hc":             "501 HTTP requests are not served here, only WebSocket connections. TrackingId:",
		"/orders-hc/order?id=77": "501 HTTP requests are not served here, only WebSocket connections. TrackingId:",
		"/nowhere":               "404 Endpoint does not exist. TrackingId:",
		"/":                      "404 Endpoint does not exist. TrackingId:",
	} {
		d := b.dial
		d.Plain = true
		c, resp, err := d.Request(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		c.TLS.Close()
		if !strings.HasPrefix(resp.Status, want) {
			t.Errorf("%s: got %s, want %s…", target, resp.Status, want)
		}
	}
}

// The request line and head of the raw sender in azure-relay-dotnet's
// AcceptHandlerTest, as it was recorded; only token, host and key are this test's.
func TestSenderOfTheNETSuiteIsTaken(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	conn, err := tls.Dial("tcp", b.addr, &tls.Config{RootCAs: b.dial.RootCAs, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	token := strings.ReplaceAll(url.QueryEscape(fakerelay.SAS("http://localhost/", sendRule, time.Now().Add(time.Hour))), "%3D", "%3d")
	fmt.Fprint(conn, "GET /$hc/orders-hc?sb-hc-token="+token+" HTTP/1.1\r\n"+
		"Host: localhost\r\nX-TestAcceptHandlerResult: True\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: FAY4MCFqXkmVt9C/kqRp5A==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	a := readAccept(t, ctl)
	if got := a.ConnectHeaders["X-TestAcceptHandlerResult"]; got != "True" {
		t.Errorf("the listener finds %q, want True, in %v", got, a.ConnectHeaders)
	}
	if strings.Contains(a.Address, "sb-hc-token") {
		t.Errorf("the token reached the listener in %s", a.Address)
	}
}

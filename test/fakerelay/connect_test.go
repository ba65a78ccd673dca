package fakerelay_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

type accept struct {
	Address        string
	ID             string
	ConnectHeaders map[string]string
	RemoteEndpoint struct {
		Address string
		Port    int
	}
}

// target is the part of the address that goes into a request line.
func (a accept) target() string { return a.Address[strings.Index(a.Address, "/$hc/"):] }

func readAccept(t testing.TB, ctl *rawsender.Conn) accept {
	t.Helper()
	h, text, err := ctl.ReadFrame()
	if err != nil || h.OpCode != ws.OpText {
		t.Fatalf("control channel: %+v %v", h, err)
	}
	return parseAccept(t, text)
}

func parseAccept(t testing.TB, text []byte) accept {
	t.Helper()
	var m struct{ Accept accept }
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m.Accept
}

func TestListenerIsToldAboutTheSender(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Hostname: "g1-prod.contoso.example:443"})
	ctl := b.control()
	d := b.dial
	d.Header = b.token(sendRule)
	d.Header.Set("Authorization", "Basic of-the-application")
	d.Header.Set("X-Custom", "seven")
	c, err := d.Send(t.Context(), "/$hc/orders-hc/sub/path?tenant=7&sb-hc-action=connect&sb-hc-id=8a2f&x=%20y")
	if err != nil {
		t.Fatal(err)
	}
	defer c.TLS.Close()
	a := readAccept(t, ctl)
	want := regexp.MustCompile(`^wss://g1-prod\.contoso\.example:443/\$hc/orders-hc/sub/path\?tenant=7&x=%20y&sb-hc-action=accept&sb-hc-id=8a2f_G0_G\d+$`)
	if !want.MatchString(a.Address) {
		t.Errorf("address %q, want %v", a.Address, want)
	}
	if !strings.HasSuffix(a.Address, "sb-hc-id="+a.ID) {
		t.Errorf("id %q is not the one of %q", a.ID, a.Address)
	}
	if got := a.ConnectHeaders["X-Custom"]; got != "seven" {
		t.Errorf("X-Custom %q", got)
	}
	if got := a.ConnectHeaders["Host"]; got != "localhost" {
		t.Errorf("Host %q", got)
	}
	if got := a.ConnectHeaders["Authorization"]; got != "Basic of-the-application" {
		t.Errorf("Authorization %q, which was not the relay's, did not pass", got)
	}
	for name := range a.ConnectHeaders {
		if strings.EqualFold(name, "ServiceBusAuthorization") {
			t.Error("the token reached the listener")
		}
	}
	if a.RemoteEndpoint.Address != "127.0.0.1" || a.RemoteEndpoint.Port == 0 {
		t.Errorf("remoteEndpoint %+v", a.RemoteEndpoint)
	}
}

func TestAuthorizationIsConsumedWhenItIsTheToken(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	d := b.dial
	d.Header = http.Header{"Authorization": {fakerelay.SAS(audience, sendRule, time.Now().Add(time.Hour))}}
	c, err := d.Send(t.Context(), connectTarget)
	if err != nil {
		t.Fatal(err)
	}
	defer c.TLS.Close()
	if got, ok := readAccept(t, ctl).ConnectHeaders["Authorization"]; ok {
		t.Errorf("Authorization %q reached the listener", got)
	}
}

func Test101IsHeldUntilTheListenerHasCome(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	sender := b.connect()
	a := readAccept(t, ctl)
	early := make(chan string, 1)
	go func() {
		if resp, err := sender.ReadResponse(); err != nil {
			early <- err.Error()
		} else {
			early <- resp.Status
		}
	}()
	select {
	case got := <-early:
		t.Fatalf("answered before the rendezvous: %s", got)
	case <-time.After(100 * time.Millisecond):
	}
	if _, resp := b.request(nil, a.target()); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("rendezvous: %s", resp.Status)
	}
	if got, want := <-early, "101 Switching Protocols"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAcceptAddressHoldsOnce(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	b.connect()
	a := readAccept(t, ctl)
	b.request(nil, a.target())
	if got := b.status(nil, a.target()); !strings.HasPrefix(got, "403 ") {
		t.Errorf("second use: %s, want 403", got)
	}
}

func TestSenderThatHangsUpCancelsTheAddress(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	sender := b.connect()
	a := readAccept(t, ctl)
	sender.TLS.Close()
	eventually(t, "address withdrawn", func() bool {
		// A plain request: it is refused for its form while the address holds.
		d := b.dial
		d.Plain = true
		c, resp, err := d.Request(context.Background(), a.target())
		if err != nil {
			t.Fatal(err)
		}
		c.TLS.Close()
		return resp.StatusCode == http.StatusForbidden
	})
}

func TestRejectionReachesTheSenderVerbatim(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	sender := b.connect()
	a := readAccept(t, ctl)
	got := b.status(nil, a.target()+"&sb-hc-statusCode=418&sb-hc-statusDescription="+url.QueryEscape("no tea; today"))
	if !strings.HasPrefix(got, "410 ") {
		t.Errorf("the listener got %s, want 410", got)
	}
	resp, err := sender.ReadResponse()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := resp.Status, "418 no tea; today"; got != want {
		t.Errorf("the sender got %q, want %q", got, want)
	}
}

func TestUnprefixedRejectionNeedsItsOption(t *testing.T) {
	for option, want := range map[bool]string{false: "101 Switching Protocols", true: "401 Unauthorized"} {
		b := newBench(t, &fakerelay.Server{NodeRejects: option})
		ctl := b.control()
		sender := b.connect()
		b.request(nil, readAccept(t, ctl).target()+"&statusCode=401&statusDescription=Unauthorized")
		resp, err := sender.ReadResponse()
		if err != nil {
			t.Fatal(err)
		}
		if resp.Status != want {
			t.Errorf("with %v: got %q, want %q", option, resp.Status, want)
		}
	}
}

func TestListenerThatDoesNotComeInTime(t *testing.T) {
	for _, tt := range []struct {
		notFound bool
		want     string
	}{
		{false, "504 The listener did not accept the connection within the allowed timeout. TrackingId:8a2f_G0, "},
		{true, "404 None of the connected listeners accepted the connection(s) within the allowed timeout. TrackingId:8a2f_G0, "},
	} {
		b := newBench(t, &fakerelay.Server{AcceptTimeout: 20 * time.Millisecond, NotFoundOnTimeout: tt.notFound})
		b.control()
		resp, err := b.connect().ReadResponse()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(resp.Status, tt.want) {
			t.Errorf("got %q, want %q…", resp.Status, tt.want)
		}
	}
}

func TestSubprotocolIsTheListenersChoice(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	d := b.dial
	d.Header = b.token(sendRule)
	d.Header.Set("Sec-WebSocket-Protocol", "one, two")
	sender, err := d.Send(t.Context(), connectTarget)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.TLS.Close()
	_, resp := b.request(http.Header{"Sec-WebSocket-Protocol": {"two"}}, readAccept(t, ctl).target())
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "two" {
		t.Errorf("the listener got %q", got)
	}
	if resp, err = sender.ReadResponse(); err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "two" {
		t.Errorf("the sender got %q", got)
	}
}

func TestConnectsAreRecorded(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	for range 2 {
		b.status(b.token(sendRule), connectTarget)
	}
	got := b.Connects()
	if len(got) != 2 || got[1].Attempt != 2 || got[1].Entity != "orders-hc" || got[1].ID != "8a2f" || got[1].Query.Get("tenant") != "7" {
		t.Errorf("got %+v", got)
	}
}

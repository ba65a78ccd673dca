package fakerelay_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

func TestUpTo25ListenersShareTheSenders(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	came := make(chan int, 200)
	for i := range 25 {
		ctl := b.control()
		go func() {
			for {
				h, _, err := ctl.ReadFrame()
				if err != nil {
					return
				}
				if h.OpCode == ws.OpText {
					came <- i
				}
			}
		}()
	}
	if got := b.ListenerCount("orders-hc"); got != 25 {
		t.Fatalf("got %d listeners, want 25", got)
	}
	if got := b.status(b.token(listenRule), listenTarget); !strings.HasPrefix(got, "403 ") {
		t.Errorf("the 26th got %s, want 403", got)
	}
	var told [25]int
	for range 200 {
		b.connect()
		told[<-came]++
	}
	// A listener is missed by 200 fair choices with a chance of 0.03 %; five
	// are never.
	idle := 0
	for _, n := range told {
		if n == 0 {
			idle++
		}
	}
	if idle > 5 {
		t.Errorf("%d listeners were never told: %v", idle, told)
	}
}

func TestRenewedTokenKeepsTheChannel(t *testing.T) {
	renew := func(c *rawsender.Conn, token string) {
		text, _ := json.Marshal(map[string]any{"renewToken": map[string]string{"token": token}})
		if err := c.WriteFrame(ws.OpText, true, text); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	renew(ctl, fakerelay.SAS(audience, listenRule, time.Now().Add(time.Hour)))
	ctl.WriteFrame(ws.OpPing, true, []byte("still?"))
	wantFrame(t, ctl, ws.OpPong, true, "still?")

	renew(ctl, fakerelay.SAS(audience, sendRule, time.Now().Add(time.Hour)))
	wantTracked(t, ctl, 1008, "Unauthorized access. 'Listen' claim(s) are required to perform this operation", "l1")
	ctl.WriteClose(1008, "")
	wantGone(t, ctl)
	eventually(t, "listener gone", func() bool { return b.ListenerCount("orders-hc") == 0 })
}

func TestExpiredTokenEndsTheChannelAfterTheGrace(t *testing.T) {
	b := newBench(t, &fakerelay.Server{TokenGrace: time.Millisecond})
	ctl, resp := b.request(sas(audience, listenRule, 2*time.Second), listenTarget)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	wantTracked(t, ctl, 1008, "ExpiredToken: The token is expired", "l1")
}

func TestDeletedEntityClosesItsListeners(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	b.DeleteEntity("orders-hc")
	wantTracked(t, ctl, 1001, "The endpoint was deleted", "l1")
	if got := b.status(b.token(sendRule), connectTarget); !strings.HasPrefix(got, "404 Endpoint does not exist") {
		t.Errorf("got %s", got)
	}
	b.AddEntity(orders)
	b.control()
}

func TestRecycledListenersGetTheCloseAsked(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	b.CloseListeners("orders-hc", 1011, "InternalServerError: NameRenewalFailed")
	wantClose(t, ctl, 1011, "InternalServerError: NameRenewalFailed")
	ctl = b.control()
	b.CloseListeners("orders-hc", 0, "")
	wantGone(t, ctl)
}

func TestListenersOwnCloseIsAnswered(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	ctl.WriteClose(1000, "Normal Closure")
	wantClose(t, ctl, 1000, "")
	wantGone(t, ctl)
	eventually(t, "listener gone", func() bool { return b.ListenerCount("orders-hc") == 0 })
}

func TestUnsolicitedPongs(t *testing.T) {
	b := newBench(t, &fakerelay.Server{PongInterval: 10 * time.Millisecond})
	ctl := b.control()
	wantFrame(t, ctl, ws.OpPong, true, "")
	ctl.WriteClose(1000, "")
	eventually(t, "listener gone", func() bool { return b.ListenerCount("orders-hc") == 0 })
	ctl = b.control()
	sender := b.connect()
	var a accept
	for a.Address == "" {
		h, text, err := ctl.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h.OpCode == ws.OpText {
			a = parseAccept(t, text)
		}
	}
	listener, _ := b.request(nil, a.target())
	if _, err := sender.ReadResponse(); err != nil {
		t.Fatal(err)
	}
	wantFrame(t, sender, ws.OpPong, true, "")
	wantFrame(t, listener, ws.OpPong, true, "")
}

func TestIdleConnectionIsCut(t *testing.T) {
	b := newBench(t, &fakerelay.Server{IdleCut: 50 * time.Millisecond})
	sender, listener := b.pair()
	wantGone(t, sender)
	wantGone(t, listener)
}

func TestDescriptionOfAnEntity(t *testing.T) {
	e := orders
	e.UserMetadata = `[{"key":"endpoint","value":"orders.corp.example:8080"}]`
	b := newBench(t, &fakerelay.Server{Entities: []fakerelay.Entity{e}})
	b.control()
	d := b.dial
	d.Plain = true
	get := func(token, target string) (status, kind, body string) {
		d.Header = http.Header{"Authorization": {token}, "X-Process-At": {"ServiceBus"}}
		c, resp, err := d.Request(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		defer c.TLS.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status, resp.Header.Get("Content-Type"), string(text)
	}
	token := fakerelay.SAS(audience, listenRule, time.Now().Add(time.Hour))
	status, kind, body := get(token, "/orders-hc?api-version=2016-07")
	for _, want := range []string{
		`<entry xmlns="http://www.w3.org/2005/Atom">`,
		`<HybridConnectionDescription xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">`,
		`<RequiresClientAuthorization>true</RequiresClientAuthorization><UserMetadata>[{&#34;key&#34;:&#34;endpoint&#34;,&#34;value&#34;:&#34;orders.corp.example:8080&#34;}]</UserMetadata><ListenerCount>1</ListenerCount>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("entry %s\nlacks %s", body, want)
		}
	}
	if status != "200 OK" || !strings.Contains(kind, "type=entry") {
		t.Errorf("entry: %s, %s", status, kind)
	}
	status, kind, body = get(fakerelay.SAS("http://localhost/", listenRule, time.Now().Add(time.Hour)), "/nowhere?api-version=2016-07")
	if status != "200 OK" || !strings.Contains(kind, "type=feed") || !strings.HasPrefix(body, "<feed") {
		t.Errorf("unknown entity: %s, %s, %s", status, kind, body)
	}
	status, _, body = get("", "/orders-hc?api-version=2016-07")
	if status != "401 Unauthorized" || !strings.HasPrefix(body, "<Error><Code>401</Code><Detail>MissingToken") {
		t.Errorf("no token: %s, %s", status, body)
	}
}

func TestRefusedConnectionServesTheNextRequest(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	d := b.dial
	c, resp, err := d.Request(t.Context(), listenTarget)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatal(resp, err)
	}
	defer c.TLS.Close()
	d.Header = b.token(listenRule)
	if resp, err = c.Again(d, listenTarget); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
}

package fakerelay_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
)

func TestUnknownEntityIsAnsweredByItsSwitch(t *testing.T) {
	root := fakerelay.Rule{Name: "root", Key: "a2V5", Send: true, Listen: true}
	for _, tt := range []struct {
		status int
		rule   fakerelay.Rule
		want   string
	}{
		{0, sendRule, "404 Endpoint does not exist"},
		{http.StatusUnauthorized, sendRule, "401 The token has an invalid signature"},
		{0, root, "404 Endpoint does not exist"},
		{http.StatusUnauthorized, root, "404 Endpoint does not exist"}, // the live tests of the .NET library prove this one
	} {
		b := newBench(t, &fakerelay.Server{Rules: []fakerelay.Rule{root}, UnknownEntityStatus: tt.status})
		for _, action := range []string{"connect", "listen"} {
			if got := b.status(sas("http://localhost/", tt.rule, time.Hour), "/$hc/nowhere?sb-hc-action="+action); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s with %s: got %s, want %s", action, tt.rule.Name, got, tt.want)
			}
		}
	}
}

func TestExpiryLeeway(t *testing.T) {
	for leeway, want := range map[time.Duration]string{0: "401 ExpiredToken", 5 * time.Minute: "404 There are no listeners"} {
		b := newBench(t, &fakerelay.Server{ExpiryLeeway: leeway})
		if got := b.status(sas(audience, sendRule, -4*time.Minute), connectTarget); !strings.HasPrefix(got, want) {
			t.Errorf("leeway %v: got %s, want %s", leeway, got, want)
		}
		if got := b.status(sas(audience, sendRule, -6*time.Minute), connectTarget); !strings.HasPrefix(got, "401 ExpiredToken") {
			t.Errorf("leeway %v, six minutes late: got %s", leeway, got)
		}
	}
}

func TestNamesAreComparedWithOrWithoutCase(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		b := newBench(t, &fakerelay.Server{IgnoreNameCase: ignore})
		ctl, resp := b.request(b.token(listenRule), "/$hc/ORDERS-hc?sb-hc-action=listen&sb-hc-id=l1")
		if !ignore {
			if !strings.HasPrefix(resp.Status, "404 Endpoint does not exist") {
				t.Errorf("with case: got %s", resp.Status)
			}
			continue
		}
		if resp.StatusCode != http.StatusSwitchingProtocols || b.ListenerCount("Orders-Hc") != 1 {
			t.Fatalf("without case: got %s, %d listeners", resp.Status, b.ListenerCount("Orders-Hc"))
		}
		sender := b.send(nil, "/$hc/Orders-HC/sub?sb-hc-id=8a2f")
		a := readAccept(t, ctl)
		if !strings.Contains(a.Address, "/$hc/Orders-HC/sub?") {
			t.Errorf("address %s", a.Address)
		}
		b.request(nil, a.target())
		if resp, err := sender.ReadResponse(); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Error(resp, err)
		}
		if got := b.Connects()[0].Entity; got != "orders-hc" {
			t.Errorf("recorded as %q", got)
		}
		b.AddEntity(fakerelay.Entity{Path: "ORDERS-HC", Rules: orders.Rules})
		b.DeleteEntity("orders-HC")
		wantTracked(t, ctl, 1001, "The endpoint was deleted", "l1")
	}
}

// The relay's own Pongs keep nothing open: a listener without a keep-alive lost
// its control channel at the service after some 250 s, with a Pong at 210 s.
func TestIdleCutCountsWhatThePeersSend(t *testing.T) {
	const cut = 400 * time.Millisecond
	b := newBench(t, &fakerelay.Server{IdleCut: cut, PongInterval: cut / 10})
	start := time.Now()
	sender, _ := b.pair()
	for {
		h, _, err := sender.ReadFrame()
		if err != nil {
			break
		}
		if h.OpCode != ws.OpPong {
			t.Fatalf("got %+v", h)
		}
	}
	if took := time.Since(start); took > 4*cut {
		t.Errorf("cut after %v, want some %v", took, cut)
	}
	eventually(t, "the silent control channel is cut", func() bool { return b.ListenerCount("orders-hc") == 0 })
}

package fakerelay_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

// wantTracked reads a Close whose reason the relay made, for the request of that id.
func wantTracked(t testing.TB, c *rawsender.Conn, code int, text, id string) {
	t.Helper()
	h, payload, err := c.ReadFrame()
	if err != nil || h.OpCode != ws.OpClose {
		t.Fatalf("got %+v %q %v, want a Close", h, short(payload), err)
	}
	got, reason := ws.ParseCloseFrameData(payload)
	if want := text + ". TrackingId:" + id + "_G0"; int(got) != code || reason != want {
		t.Fatalf("got Close %d %q, want %d %q", got, reason, code, want)
	}
}

func TestReasonOfACloseFitsIntoItsFrameWithTheTrackingID(t *testing.T) {
	const id = "3e4c7436-b482-4545-9ceb-ba78219e8bec"
	b := newBench(t, &fakerelay.Server{})
	ctl, _ := b.request(b.token(listenRule), "/$hc/orders-hc?sb-hc-action=listen&sb-hc-id="+id)
	ctl.WriteFrame(ws.OpText, true, []byte(`{"renewToken":{"token":"`+fakerelay.SAS(audience, sendRule, time.Now().Add(time.Hour))+`"}}`))
	h, payload, err := ctl.ReadFrame()
	if err != nil || h.OpCode != ws.OpClose || len(payload) > 125 {
		t.Fatalf("got %+v %v", h, err)
	}
	if _, reason := ws.ParseCloseFrameData(payload); !regexp.MustCompile(`^Unauthorized access\. 'Listen' claim\(s\) are required.*\. TrackingId:` + id + `_G0$`).MatchString(reason) {
		t.Errorf("reason %q", reason)
	}
}

func TestDeadControlChannelAnswersItsPendingSenders(t *testing.T) {
	for name, die := range map[string]func(*rawsender.Conn){
		"killed":   func(c *rawsender.Conn) { c.Raw.SetLinger(0); c.Raw.Close() },
		"ended":    func(c *rawsender.Conn) { c.Raw.Close() },
		"closed":   func(c *rawsender.Conn) { c.WriteClose(1000, "Normal Closure") },
		"violated": func(c *rawsender.Conn) { ws.WriteFrame(c.TLS, ws.NewTextFrame([]byte("unmasked"))) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &fakerelay.Server{})
			ctl := b.control()
			sender := b.connect()
			a := readAccept(t, ctl)
			start := time.Now()
			die(ctl)
			resp, err := sender.ReadResponse()
			if err != nil || !strings.HasPrefix(resp.Status, "502 The listener was lost before it accepted the connection. TrackingId:8a2f_G0, ") {
				t.Errorf("the sender got %v %v, want 502", resp, err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("answered after %v", took)
			}
			if got := b.status(nil, a.target()); !strings.HasPrefix(got, "403 ") {
				t.Errorf("the address is still good: %s", got)
			}
		})
	}
}

// A channel that the relay recycles leaves its listener able to come.
func TestRecycledControlChannelKeepsItsPendingSenders(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	ctl := b.control()
	sender := b.connect()
	a := readAccept(t, ctl)
	b.CloseListeners("orders-hc", 1011, "InternalServerError: NameRenewalFailed")
	wantClose(t, ctl, 1011, "InternalServerError: NameRenewalFailed")
	ctl.WriteClose(1011, "")
	wantGone(t, ctl)
	if _, resp := b.request(nil, a.target()); resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	if resp, err := sender.ReadResponse(); err != nil || resp.StatusCode != 101 {
		t.Error(resp, err)
	}
}

func TestDrainSaysCloseToEverybody(t *testing.T) {
	b := newBench(t, &fakerelay.Server{Entities: []fakerelay.Entity{orders, {Path: "deaf-hc", Rules: orders.Rules}}})
	sender, listener := b.pair()
	ctl, _ := b.request(sas("http://localhost/", listenRule, time.Hour), "/$hc/deaf-hc?sb-hc-action=listen&sb-hc-id=l2")
	pending := b.dial
	pending.Header = sas("http://localhost/", sendRule, time.Hour)
	waiting, err := pending.Send(t.Context(), "/$hc/deaf-hc?sb-hc-action=connect&sb-hc-id=77")
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.TLS.Close()
	readAccept(t, ctl)

	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan struct{})
	go func() { defer close(drained); b.Drain(ctx) }()
	wantTracked(t, ctl, 1001, "The relay is shutting down", "l2")
	ctl.WriteClose(1001, "")
	if resp, err := waiting.ReadResponse(); err != nil || !strings.HasPrefix(resp.Status, "503 The relay is shutting down. TrackingId:77_G0, ") {
		t.Errorf("the pending sender got %v %v, want 503", resp, err)
	}
	if c, err := b.dial.Send(t.Context(), connectTarget); err == nil {
		c.TLS.Close()
		t.Error("a connection was taken during the drain")
	}
	// What is open goes on.
	sender.WriteFrame(ws.OpBinary, true, []byte("still"))
	wantFrame(t, listener, ws.OpBinary, true, "still")
	cancel()
	wantTracked(t, sender, 1011, "The relay is shutting down", "8a2f")
	wantTracked(t, listener, 1011, "The relay is shutting down", "8a2f")
	wantGone(t, sender)
	wantGone(t, listener)
	select {
	case <-drained:
	case <-time.After(rawsender.Patience):
		t.Error("Drain does not return")
	}
}

func TestDrainEndsWhenEverythingHas(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	drained := make(chan struct{})
	go func() { defer close(drained); b.Drain(t.Context()) }()
	sender.WriteFrame(ws.OpBinary, true, []byte("last"))
	sender.WriteClose(1000, "Shutdown")
	wantFrame(t, listener, ws.OpBinary, true, "last")
	wantClose(t, listener, 1000, "Shutdown")
	listener.WriteClose(1000, "Shutdown")
	wantClose(t, sender, 1000, "Shutdown")
	select {
	case <-drained:
	case <-time.After(rawsender.Patience):
		t.Error("Drain does not return")
	}
}

// A frame that has begun cannot be followed by a Close: the end is a drop.
func TestDrainDropsAFrameHalfSent(t *testing.T) {
	b := newBench(t, &fakerelay.Server{})
	sender, listener := b.pair()
	header := ws.Header{Fin: true, OpCode: ws.OpBinary, Masked: true, Length: 10}
	ws.WriteHeader(listener.TLS, header)
	listener.TLS.Write([]byte("half"))
	eventually(t, "half the frame has come", func() bool { _, down := b.Bytes(); return down == 4 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Drain(ctx)
	if h, payload, err := sender.ReadFrame(); err == nil || h.OpCode == ws.OpClose {
		t.Errorf("got %+v %q %v, want a frame cut short", h, payload, err)
	}
}

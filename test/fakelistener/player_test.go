package fakelistener_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay/rawsender"
	"hyco-sidecar/test/transcript"
)

// player is a sender that does what the sender of a recording did, and wants from the
// far side what it did then.
type player struct {
	original
	t         *testing.T
	site      *site
	c         *rawsender.Conn
	target    string
	got       chan frame // what arrives; closed at the connection's end
	ahead     *frame     // one that was received and not asked for yet
	commanded bool
	sent      int64 // bytes
	waited    bool  // for the target's reset
	largest   int64 // bytes of the largest message that the far side may send; 0 = any
}

type frame struct {
	op      ws.OpCode
	payload []byte
}

func newPlayer(t *testing.T, s *site, o original) *player {
	t.Helper()
	c, resp := s.connect()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	p := &player{original: o, t: t, site: s, c: c, target: "127.0.0.1:1433", got: make(chan frame, 10_000), commanded: o.command == ""}
	go p.receive()
	return p
}

// receive takes what arrives, but for pings and pongs.
func (p *player) receive() {
	defer close(p.got)
	for {
		h, payload, err := p.c.ReadFrame()
		if err != nil {
			return
		}
		if h.OpCode != ws.OpPing && h.OpCode != ws.OpPong {
			p.got <- frame{h.OpCode, payload}
		}
	}
}

// quiet is how long nothing may come where the original said nothing for a second or
// more.
const quiet = 150 * time.Millisecond

func (p *player) play(events []transcript.Event) {
	p.t.Helper()
	var before time.Duration
	for i, e := range events {
		if e.Kind == transcript.Ping || e.Kind == transcript.Pong {
			continue
		}
		if i > 0 && e.Near && e.At-before >= time.Second {
			p.wantSilence()
		}
		before = e.At
		switch {
		case e.Near && e.Kind == transcript.Data:
			p.send(e)
		case e.Near && e.Kind == transcript.Close:
			p.c.WriteClose(e.Code, e.Reason)
		case e.Near && e.Kind == transcript.Broken:
			p.c.Raw.SetLinger(0)
			p.c.Raw.Close()
			return // whatever came after that, nobody saw it
		case e.Near && e.Kind == transcript.Ended:
			p.c.TLS.Close()
			return
		case e.Kind == transcript.Data && !p.shortened:
			p.wantData(e)
		case e.Kind == transcript.Close:
			p.wantClose(e)
		case e.Kind == transcript.Ended:
			p.wantEnd()
			return
		}
	}
}

// send sends one frame for each line of the recording: how data are cut into messages
// matters to no listener but for the largest, which stays.
func (p *player) send(e transcript.Event) {
	first, op := e.First, ws.OpBinary
	switch {
	case e.Text && strings.HasPrefix(string(first), `{"`) && p.ports == nil:
		first, _ = json.Marshal(map[string]any{"version": 1, "target": p.target, "bridge_id": "8a2f4a70-0000-4000-8000-000000000001"})
		e.Bytes, op = int64(len(first)), ws.OpText
	case e.Text:
		op = ws.OpText
	case !p.commanded && e.Bytes > int64(len(first)):
		first, p.commanded = []byte(p.command+"\n"), true
	}
	payload := make([]byte, e.Bytes)
	copy(payload, first)
	for size := max(int(e.Largest), 49144); ; payload = payload[size:] {
		size = min(size, len(payload))
		if p.c.WriteFrame(op, true, payload[:size]) != nil {
			return // a far side that has left takes nothing more, which is for it to show
		}
		p.awaitReset(int64(size))
		if size == len(payload) {
			return
		}
	}
}

// awaitReset waits, once the target has been sent what it resets after, until it has:
// what is sent then has to meet that.
func (p *player) awaitReset(sent int64) {
	p.sent += sent
	var n int64
	if _, err := fmt.Sscanf(p.command, "RSTAFTER %d", &n); err != nil || p.waited || p.sent < n+int64(len(p.command))+1 {
		return
	}
	p.waited = true
	select {
	case <-p.site.didReset:
	case <-time.After(rawsender.Patience):
		p.t.Error("the target never reset")
	}
}

// next returns what arrives; ok is false at the connection's end.
func (p *player) next() (f frame, ok bool) {
	if p.ahead != nil {
		f, p.ahead = *p.ahead, nil
		return f, true
	}
	select {
	case f, ok = <-p.got:
		return f, ok
	case <-time.After(rawsender.Patience):
		p.t.Fatal("nothing arrives any more")
		return frame{}, false
	}
}

func (p *player) wantData(e transcript.Event) {
	p.t.Helper()
	for n := int64(0); n < e.Bytes || e.Bytes == 0; {
		f, ok := p.next()
		switch {
		case !ok:
			p.t.Fatalf("the connection ended after %d bytes, want %d", n, e.Bytes)
		case f.op == ws.OpClose:
			p.t.Fatalf("got Close %q after %d bytes, want %d", f.payload, n, e.Bytes)
		case f.op == ws.OpText != e.Text:
			p.t.Fatalf("got a message of kind %v", f.op)
		case p.largest > 0 && int64(len(f.payload)) > p.largest:
			p.t.Fatalf("got a message of %d bytes; the original's largest has %d", len(f.payload), p.largest)
		}
		if n += int64(len(f.payload)); n > e.Bytes { // the next line's begin
			p.ahead = &frame{f.op, f.payload[int64(len(f.payload))-(n-e.Bytes):]}
			return
		}
		if e.Bytes == 0 {
			return // an empty message
		}
	}
}

func (p *player) wantClose(e transcript.Event) {
	p.t.Helper()
	for {
		f, ok := p.next()
		if ok && p.shortened && f.op != ws.OpClose {
			continue
		}
		if !ok || f.op != ws.OpClose {
			p.t.Fatalf("got %v %.40q (%v), want Close %d %q", f.op, f.payload, ok, e.Code, e.Reason)
		}
		code, reason := ws.ParseCloseFrameData(f.payload)
		if int(code) != e.Code || reason != e.Reason {
			p.t.Fatalf("got Close %d %q, want %d %q", code, reason, e.Code, e.Reason)
		}
		return
	}
}

func (p *player) wantEnd() {
	p.t.Helper()
	if f, ok := p.next(); ok {
		p.t.Fatalf("got %v %.40q, want the connection's end", f.op, f.payload)
	}
}

// wantSilence fails where something comes. What a reset cuts short is let pass first,
// and the reset itself awaited.
func (p *player) wantSilence() {
	p.t.Helper()
	awaited := !strings.Contains(p.command, " rst") || p.waited
	for {
		select {
		case <-p.resets():
			awaited, p.waited = true, true
		case f, ok := <-p.got:
			if ok && p.shortened && f.op != ws.OpClose {
				continue
			}
			p.t.Fatalf("got %v %.40q (%v), want silence", f.op, f.payload, ok)
		case <-time.After(quiet):
			if awaited {
				return
			}
		}
	}
}

// resets tells of targets that reset, where there is a site.
func (p *player) resets() <-chan struct{} {
	if p.site == nil {
		return nil
	}
	return p.site.didReset
}

// serveTargets plays the target: the first line says what it does.
func (s *site) serveTargets() {
	go func() {
		for {
			select {
			case c := <-s.target:
				go s.serveTarget(c)
			case <-s.t.Context().Done():
				return
			}
		}
	}()
}

// serveTarget obeys one command:
//
//	DOWN n fin|hfin|rst|rstwait   send n bytes; close, half-close and read on, reset, reset a moment later
//	EOFSUM x n                    read to the end, answer with checksum and count in a line, and n bytes
//	ECHO                          send back what comes
//	UP …                          read to the end
//	RSTAFTER n m                  read n bytes, send m, reset
func (s *site) serveTarget(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) == 0 {
		return
	}
	number := func(i int) (n int64) {
		if i < len(fields) {
			fmt.Sscan(fields[i], &n)
		}
		return n
	}
	switch fields[0] {
	case "DOWN":
		c.Write(make([]byte, number(1)))
		switch fields[len(fields)-1] {
		case "hfin":
			c.CloseWrite()
			io.Copy(io.Discard, r)
		case "rstwait":
			<-time.After(quiet / 3) // what was sent has been read
			s.reset(c)
		case "rst":
			s.reset(c)
		}
	case "EOFSUM":
		h := sha256.New()
		n, _ := io.Copy(h, r)
		c.Write(append(fmt.Appendf(nil, "%x %d\n", h.Sum(nil), n), make([]byte, number(2))...))
	case "ECHO":
		io.Copy(c, r)
	case "UP":
		io.Copy(io.Discard, r)
	case "RSTAFTER":
		io.CopyN(io.Discard, r, number(1))
		c.Write([]byte(strings.Repeat("x", int(number(2)))))
		s.reset(c)
	}
}

func (s *site) reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
	s.didReset <- struct{}{}
}

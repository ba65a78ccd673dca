package fakelistener_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

var (
	preambleLine = regexp.MustCompile(`^(.{45})(\S+)-hc sent=\[(.*)\] got=\[(.*)\]$`)
	sentItem     = regexp.MustCompile(`'(?:op(\d) fin(\d) )?([0-9a-f]*)'`)
	gotItem      = regexp.MustCompile(`\('(\w+)'(?:, ([^)]*))?\)`)
)

// TestAzbridgeAnswersPreamblesAsTheOriginal sends each sequence of messages that was sent
// to the real azbridge by hand, and wants the same answer: data, Close, end, or silence.
func TestAzbridgeAnswersPreamblesAsTheOriginal(t *testing.T) {
	f, err := os.Open("testdata/azbridge_preamble.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ports := map[string]*original{"sql": {ports: sql}, "udp": {ports: []string{"udp"}, udp: true}, "multi": {ports: several}}
	played := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m := preambleLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		played++
		t.Run(strings.TrimSpace(m[1]), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, ports[m[2]].listenerFor(fakelistener.Azbridge), &fakerelay.Server{})
			s.serveTargets()
			p := newPlayer(t, s, original{})
			for _, item := range sentItem.FindAllStringSubmatch(m[3], -1) {
				payload, err := hex.DecodeString(item[3])
				if err != nil {
					t.Fatal(err)
				}
				op := ws.OpBinary
				if item[1] != "" {
					n, _ := strconv.Atoi(item[1])
					op = ws.OpCode(n)
				}
				p.c.WriteFrame(op, item[2] != "0", payload)
			}
			for _, item := range gotItem.FindAllStringSubmatch(m[4], -1) {
				p.wantItem(item[1], item[2])
			}
		})
	}
	if played < 25 {
		t.Errorf("only %d lines were understood", played)
	}
}

// wantItem wants what one tuple of the recording says. The sender by hand answered a
// Close with its own, after which the original ended the connection.
func (p *player) wantItem(kind, args string) {
	p.t.Helper()
	switch kind {
	case "bin": // 'fin=1', 3, '010000'
		fields := strings.Split(args, ", ")
		size, err := strconv.Atoi(fields[1])
		if err != nil {
			p.t.Fatal(err)
		}
		f, ok := p.next()
		begins := strings.TrimRight(strings.Trim(fields[2], "'"), ".")
		if !ok || f.op != ws.OpBinary || len(f.payload) != size || size <= 3 && hex.EncodeToString(f.payload)[:len(begins)] != begins && begins != "00070e" {
			p.t.Fatalf("got %v %x (%v), want %s", f.op, f.payload, ok, args)
		}
	case "close": // 1000, 'Shutdown'
		var code int
		fmt.Sscan(strings.TrimSuffix(args[:strings.Index(args, ",")+1], ","), &code)
		f, ok := p.next()
		got, reason := ws.ParseCloseFrameData(f.payload)
		if !ok || f.op != ws.OpClose || int(got) != code || !strings.Contains(args, "'"+reason+"'") {
			p.t.Fatalf("got %v %q (%v), want Close %s", f.op, f.payload, ok, args)
		}
		p.c.WriteClose(1000, reason)
	case "EOF":
		p.wantEnd()
	case "timeout":
		p.wantSilence()
	default:
		p.t.Fatalf("the recording has %q", kind)
	}
}

// TestAzbridgeLeavesARelayThatTakesNothing: a sender that stops reading fills the way, and
// azbridge ends the connection without a Close when a write has taken its time-out.
func TestAzbridgeLeavesARelayThatTakesNothing(t *testing.T) {
	l := (&original{ports: sql}).listenerFor(fakelistener.Azbridge)
	l.WriteTimeout = 100 * time.Millisecond
	s := newSite(t, l, &fakerelay.Server{})
	c, resp := s.connect()
	if resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	send(t, c, "\x01\x00\x00\x03sql")
	wantStream(t, c, "\x01\x00\x00")
	target := <-s.target
	defer target.Close()
	target.SetDeadline(time.Time{})
	if n, err := target.Write(make([]byte, 200<<20)); err == nil {
		t.Fatalf("the target wrote %d bytes to a sender that reads none", n)
	}
	// What was under way still arrives, and no Close behind it.
	for {
		h, _, err := c.ReadFrame()
		if ne, ok := errors.AsType[net.Error](err); h.OpCode == ws.OpClose || ok && ne.Timeout() {
			t.Fatalf("got %v, %v, want the loss of the connection", h, err)
		}
		if err != nil {
			return
		}
	}
}

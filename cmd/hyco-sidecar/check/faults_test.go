package check_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/relayclient"
)

// offended is a target that hangs up at whatever it is sent.
func offended(conn net.Conn) {
	conn.Read(make([]byte, 4096))
	conn.Close()
}

func TestTargetThatHangsUpAtTheQuestionIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expect(t, run(t, sound(sql01, offended)), check.Target, check.TargetSilent, "reached, and hung up at SQL Server's PRELOGIN: --probe")
	})
}

func TestHandshakeDemandedAndNotAnsweredIsAFailureOfTLS(t *testing.T) {
	for says, behind := range map[string]target{
		"closed at the TLS handshake":    offended,
		"no answer to the TLS handshake": talk(false, ""),
		"began to answer":                talk(true, "\x16\x03\x03"),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := sound(sql01, behind)
			c.TLS = true
			expect(t, run(t, c), check.Target, check.TargetTLSFailed, says)
		})
	}
}

func TestStalledHandshakeIsNotHealthy(t *testing.T) {
	for cancelled, want := range map[bool]check.Verdict{true: check.Unfinished, false: check.TargetSilent} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if cancelled {
				time.AfterFunc(4*time.Second, cancel)
			}
			c := sound(sql01, talk(true, "\x16\x03\x03"))
			c.Probe = check.TLS
			expect(t, c.Run(ctx, []string{sql01.Name}).Endpoints[0], check.Target, want, "")
		})
	}
}

func TestPortsThatHTTPWouldOffendGetNone(t *testing.T) {
	for port, test := range map[uint16]struct {
		verdict check.Verdict
		says    string
	}{
		6379:  {check.Healthy, `Redis answers "-NOAUTH Authentication required."`},
		9092:  {check.TargetSilent, "nothing was sent"},
		27017: {check.TargetSilent, "nothing was sent"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := sound(endpoint("data.corp.example", port), func(conn net.Conn) {
				defer conn.Close()
				question := make([]byte, 64)
				n, _ := conn.Read(question)
				if got := string(question[:n]); got != "" && got != "PING\r\n" {
					t.Errorf("port %d is sent %q", port, got)
				}
				io.WriteString(conn, "-NOAUTH Authentication required.\r\n")
				io.Copy(io.Discard, conn)
			})
			expect(t, run(t, c), check.Target, test.verdict, test.says)
		})
	}
}

func TestUnansweredAttemptSaysNothingOfTheToken(t *testing.T) {
	c := failing(&relayclient.DialError{Stage: relayclient.StageUpgrade, Err: relayclient.ErrAttemptTimeout})
	c.Clock = func(context.Context, check.Endpoint) (time.Duration, error) { return 0, nil }
	r := run(t, c)
	expect(t, r, check.Listener, check.NotAccepted, "holds this one back")
	if got := step(r, check.Token); got.Outcome != check.Skipped || got.Saw != "the relay has not said" {
		t.Errorf("the token: %+v", got)
	}
	if got := fmt.Sprint(step(r, check.Listener).Notes); !strings.Contains(got, "holds WebSocket upgrades back") {
		t.Errorf("notes: %s", got)
	}
}

func TestWordsFromOutsideDoNotCommandATerminal(t *testing.T) {
	r := run(t, failing(&relayclient.DialError{Stage: relayclient.StageUpgrade, Status: 503, Phrase: "a\x1b[2J\nb\u202e", TrackingID: "5b\x1b", Err: relayclient.ErrUnavailable}))
	if got := step(r, check.Listener); got.Saw != "503 a.[2J.b." && got.Saw != "503 a.[2J.b" || got.TrackingID != "5b." {
		t.Errorf("got %q and %q", got.Saw, got.TrackingID)
	}
}

func TestWalkThatIsNotBegunIsUnfinished(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := sound(sql01, nil).Run(ctx, []string{sql01.Name}).Endpoints[0]
	if got := step(r, check.Resolver); r.Verdict != check.Unfinished || r.ExitCode != 1 || got.Outcome != check.Skipped || got.Saw != "not begun" {
		t.Errorf("got %s (%d), %+v", r.Verdict, r.ExitCode, got)
	}
}

func TestFurtherNameserverIsNoted(t *testing.T) {
	c := sound(sql01, talk(false, "hello"))
	c.Ours, c.Others = []netip.Addr{netip.MustParseAddr("127.0.0.1")}, []netip.Addr{netip.MustParseAddr("10.0.0.10")}
	r := run(t, c)
	expect(t, r, check.Resolver, check.Healthy, "127.0.0.1:53 answers")
	if got := fmt.Sprint(step(r, check.Resolver).Notes); !strings.Contains(got, "10.0.0.10 beside the sidecar") {
		t.Errorf("notes: %s", got)
	}
}

// TestHostsFileIsNoPartOfAsking asks for a name that every hosts file has.
func TestHostsFileIsNoPartOfAsking(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			packet := make([]byte, 512)
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			packet[2], packet[3] = 0x81, 0x80
			answer := packet[:n]
			if n == len("localhost")+18 { // not the one with EDNS
				packet[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 77, 1, 2)
			} else {
				packet[3] |= 3 // NXDOMAIN
			}
			conn.WriteTo(answer, from)
		}
	}()
	defer func() { conn.Close(); <-done }()
	server := netip.MustParseAddrPort(conn.LocalAddr().String())
	if got := (check.Names{Server: server}).Ask(t.Context(), "localhost"); fmt.Sprint(got.Addrs) != "[127.77.1.2]" || got.AddrErr != nil {
		t.Errorf("got %v, %v", got.Addrs, got.AddrErr)
	}
	for _, a := range (check.Names{Server: server}).Resolve(t.Context(), "localhost").Addrs {
		if a.Is4In6() {
			t.Errorf("%s is 4-in-6", a)
		}
	}
}

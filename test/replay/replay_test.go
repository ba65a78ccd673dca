package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/program"
	"hyco-sidecar/test/replay"
	"hyco-sidecar/test/transcript"
)

// An end is what an app sees of its connection's end.
type end string

const (
	orderly end = "end of stream"
	reset   end = "reset"
	mine    end = "its own reset" // the app itself resets
)

// row is one recording, what the app does meanwhile, and how its connection has to end:
// by what is right, not by what happened on the day of the recording.
type row struct {
	recording string
	app       func(*app)
	bytes     int64 // that the app has to receive; any = any number
	ends      end
	cause     string // in the connection's line of the log; "|" stands between those that will do
	settings  []string

	// pending says why the sidecar does not do what is right yet, or that no sender can.
	// The test then fails when it does.
	pending string
}

const any = -1

var (
	azbridge = []string{"LISTENER=azbridge", "PORT_NAME=sql"}
	aztunnel = []string{"LISTENER=aztunnel"}
)

const (
	hcmsClose  = "Hybrid Connection Manager's Close is taken for the target's end of stream"
	itsRefusal = "azbridge's refusal of a version is passed on as the target's answer"
)

var rows = []row{
	{recording: "hcm/c1-client-halfcloses-target-needs-fin", app: halfCloses(5000), ends: reset, cause: "lingered"},
	{recording: "hcm/c3-client-halfcloses-target-answers-and-closes", app: halfCloses(39), bytes: 1000000, ends: orderly, cause: "closed"},
	{recording: "hcm/c4-target-halfcloses-then-reads", app: asksThenEnds(100054), bytes: 1000, ends: orderly, cause: "closed"},
	{recording: "hcm/d1-target-closes-app-waits", app: asksThenEnds(25), bytes: 1000, ends: orderly, cause: "closed"},
	{recording: "hcm/d2-target-closed-app-reuses", app: asksAgain(25, 13, 16), bytes: 1000, ends: reset, cause: "…", pending: hcmsClose},
	{recording: "hcm/d5-target-closes-without-bytes-after-request", app: asksThenEnds(33), ends: reset, cause: "…", pending: hcmsClose},
	{recording: "hcm/e1-target-resets-mid-download", app: asksAgain(43, 1), bytes: any, ends: reset, cause: "…", pending: hcmsClose},
	{recording: "hcm/e2a-target-resets-mid-upload", app: uploads(3600069), bytes: any, ends: reset, cause: "target_unreachable_suspected|closed_without_data"},
	{recording: "hcm/e3-app-resets-mid-download", app: resetsAfter(73), bytes: any, ends: mine, cause: "app_reset"},
	{recording: "hcm/e4-app-resets-mid-upload", app: resetsAfter(3000046), bytes: any, ends: mine, cause: "app_reset"},
	{recording: "hcm/e5-target-resets-after-app-halfcloses", app: halfCloses(54), bytes: any, ends: orderly, cause: "closed"}, // no sender can tell
	{recording: "hcm/f1-target-refused", app: asks(18), ends: reset, cause: "target_unreachable_suspected"},
	{recording: "hcm/f1b-target-refused-app-silent", app: asks(0), ends: reset, cause: "target_unreachable_suspected"},
	{recording: "hcm/f1c-target-refused-app-halfcloses", app: halfCloses(18), ends: reset, cause: "…", pending: hcmsClose},
	{recording: "hcm/f1d-target-refused-app-uploads", app: uploads(2386256), ends: reset, cause: "target_unreachable_suspected"},
	{recording: "hcm/f2-target-black-hole", app: asks(18), ends: reset, cause: "target_unreachable_suspected"},
	{recording: "hcm/f2b-target-black-hole-upload", app: uploads(18849812), ends: reset, cause: "target_unreachable_suspected"},
	{recording: "hcm/g1-hcm-killed-mid-download", app: asks(84), bytes: any, ends: reset, cause: "tunnel_dropped"},
	{recording: "hcm/g2-hcm-killed-mid-upload", app: uploads(4800047), ends: reset, cause: "tunnel_dropped"},
	{recording: "hcm/g3-hcm-killed-while-idle", app: asks(5), bytes: any, ends: reset, cause: "tunnel_dropped"},
	{recording: "hcm/g4-hcm-service-stopped-mid-download", app: asks(84), bytes: any, ends: reset, cause: "tunnel_dropped"},
	{recording: "hcm/g9-hcm-killed-after-app-halfclose", app: halfCloses(84), bytes: any, ends: reset, cause: "tunnel_dropped"},
	{recording: "hcm/h1-relay-killed-mid-download", app: asks(84), bytes: any, ends: reset, cause: "tunnel_dropped"},
	{recording: "hcm/h2-relay-sigterm-mid-download", app: asks(84), bytes: any, ends: reset, cause: "tunnel_dropped"},

	{recording: "dotnet/r1-dotnet-raw-echo-shutdown", app: halfCloses(300001), bytes: 300000, ends: orderly, cause: "closed"},
	{recording: "dotnet/r2-dotnet-raw-closeasync-without-shutdown", app: asksThenEnds(1), bytes: 1000000, ends: orderly, cause: "closed"},
	{recording: "dotnet/r3-dotnet-raw-text-mode", app: asksThenEnds(1), bytes: 65536, ends: orderly, cause: "closed"},
	{recording: "dotnet/r4-dotnet-raw-empty-message", app: asksThenEnds(1), bytes: 5, ends: orderly, cause: "closed"},
	{recording: "dotnet/r5-dotnet-raw-32MiB-message", app: asksThenEnds(1), bytes: 33554432, ends: orderly, cause: "closed"},
	{recording: "dotnet/r6-dotnet-raw-shutdown-then-reads", app: answersAfterEnd(1, 160), bytes: 1000, ends: orderly, cause: "closed"},

	{recording: "azbridge/c1_client_half_close", app: halfCloses(50014), bytes: 1071, ends: orderly, cause: "closed", settings: azbridge},
	{recording: "azbridge/c2_server_half_close", app: answersAfterEnd(15, 70000), bytes: 5000, ends: orderly, cause: "closed", settings: azbridge},
	{recording: "azbridge/d_server_close", app: asksThenEnds(16), bytes: 100000, ends: orderly, cause: "closed", settings: azbridge},
	{recording: "azbridge/e1_server_reset_mid_transfer", app: asksThenEnds(17), bytes: any, ends: orderly, cause: "closed", settings: azbridge},  // no sender can tell
	{recording: "azbridge/e2_server_reset_idle", app: asksAgain(20, 4), bytes: 3000, ends: orderly, cause: "closed", settings: azbridge},         // no sender can tell
	{recording: "azbridge/e3_server_reset_while_app_sends", app: uploads(250019), bytes: 10, ends: orderly, cause: "closed", settings: azbridge}, // no sender can tell
	{recording: "azbridge/e5_client_reset_up", app: resetsAfter(128013), bytes: any, ends: mine, cause: "app_reset", settings: azbridge},
	{recording: "azbridge/e6_client_reset_down", app: resetsAfter(19), bytes: any, ends: mine, cause: "app_reset", settings: azbridge},
	{recording: "azbridge/e7_client_reset_idle", app: resetsAfter(7), bytes: any, ends: mine, cause: "app_reset", settings: azbridge},
	{recording: "azbridge/f1_target_refused_app_silent", app: asks(0), ends: reset, cause: "target_unreachable_suspected", settings: azbridge},
	{recording: "azbridge/f2_target_refused_app_speaks", app: asks(18), ends: reset, cause: "target_unreachable_suspected", settings: azbridge},
	{recording: "azbridge/f3_black_hole", app: asks(0), ends: reset, cause: "target_unreachable_suspected", settings: azbridge},
	{recording: "azbridge/j2_wrong_port_name_several", app: asks(0), ends: reset, cause: "dial_failed", settings: azbridge},
	{recording: "azbridge/j6_wrong_name_single", app: asks(0), ends: reset, cause: "dial_failed", settings: azbridge},
	{recording: "azbridge/l1_no_preamble_app_first_get", app: asks(18), ends: reset, cause: "…", pending: itsRefusal},
	{recording: "azbridge/l4_no_preamble_app_first_tds", app: asks(58), ends: reset, cause: "…", pending: itsRefusal},
	{recording: "azbridge/l7_aztunnel_sender", app: asks(0), ends: reset, cause: "dial_failed", settings: aztunnel},
	{recording: "azbridge/n1_datagram_only", app: asks(0), ends: reset, cause: "dial_failed", settings: azbridge},

	{recording: "aztunnel/d_server_close", app: asksThenEnds(16), bytes: 100000, ends: orderly, cause: "closed", settings: aztunnel,
		pending: "an end of TLS without a Close is taken for a tunnel that broke off"},
	{recording: "aztunnel/f1_target_refused", app: asks(0), ends: reset, cause: "dial_failed", settings: aztunnel},
	{recording: "aztunnel/f2_target_not_allowed", app: asks(0), ends: reset, cause: "dial_failed", settings: aztunnel},

	{recording: "node/d_server_close", app: asksThenEnds(16), bytes: 100000, ends: orderly, cause: "closed"},
	{recording: "node/e1_server_reset", app: asks(18), bytes: 3000, ends: reset, cause: "tunnel_dropped"},
}

// TestRecordingsEndAsTheyShould plays every recording to the real sidecar.
func TestRecordingsEndAsTheyShould(t *testing.T) {
	recordings := make(map[string]*transcript.Transcript)
	for _, r := range rows {
		recording, err := transcript.Read("../transcript/testdata/" + r.recording + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		recordings[r.entity()] = recording
	}
	c := startSidecar(t, &replay.Far{Recordings: recordings, Scale: 0.01, MaxPause: 300 * time.Millisecond})
	for _, r := range rows {
		t.Run(r.recording, func(t *testing.T) {
			t.Parallel()
			a := c.connect(t, r)
			r.app(a)
			wrong := r.judge(a, c.cause(t, r))
			switch {
			case wrong != "" && r.pending == "":
				t.Error(wrong)
			case wrong == "" && r.pending != "":
				t.Errorf("this is right by now: take out pending (%s)", r.pending)
			case wrong != "":
				t.Logf("not right yet: %s: %s", r.pending, wrong)
			}
		})
	}
}

// entity is the name by which the player finds the recording.
func (r row) entity() string {
	return strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(r.recording))
}

// judge says what is wrong, "" if nothing is.
func (r row) judge(a *app, cause string) string {
	var wrong []string
	if a.ended != r.ends {
		wrong = append(wrong, fmt.Sprintf("the app saw %s, want %s", a.ended, r.ends))
	}
	if r.bytes != any && a.received != r.bytes {
		wrong = append(wrong, fmt.Sprintf("the app got %d bytes, want %d", a.received, r.bytes))
	}
	ok := false
	for want := range strings.SplitSeq(r.cause, "|") {
		ok = ok || cause == want || want == "…" && cause != "closed"
	}
	if !ok {
		wrong = append(wrong, fmt.Sprintf("logged as %q, want %q", cause, r.cause))
	}
	return strings.Join(wrong, "; ")
}

// app is an app's connection, and what came of it.
type app struct {
	*net.TCPConn
	t        *testing.T
	received int64
	ended    end
}

// halfCloses sends and ends its stream, and reads to the end.
func halfCloses(n int) func(*app) {
	return func(a *app) {
		a.send(n)
		a.CloseWrite()
		a.readOn()
	}
}

// asks sends and reads to the end.
func asks(n int) func(*app) {
	return func(a *app) {
		a.send(n)
		a.readOn()
	}
}

// asksThenEnds sends, reads until nothing comes any more, ends its stream, and reads to
// the end.
func asksThenEnds(n int) func(*app) {
	return func(a *app) {
		a.send(n)
		a.readSome()
		a.CloseWrite()
		a.readOn()
	}
}

// asksAgain sends again whenever nothing comes any more, reads to the end, and ends its
// stream.
func asksAgain(sizes ...int) func(*app) {
	return func(a *app) {
		for _, n := range sizes {
			a.send(n)
			a.readSome()
		}
		a.readOn()
		a.CloseWrite()
	}
}

// answersAfterEnd sends, reads to the end, sends more, and ends its stream.
func answersAfterEnd(first, then int) func(*app) {
	return func(a *app) {
		a.send(first)
		a.readOn()
		a.send(then)
		a.CloseWrite()
	}
}

// uploads sends while it reads to the end, and ends its stream.
func uploads(n int) func(*app) {
	return func(a *app) {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			a.send(n)
		}()
		a.readOn()
		<-sent
		a.CloseWrite()
	}
}

// resetsAfter sends, reads until nothing comes any more, and resets.
func resetsAfter(n int) func(*app) {
	return func(a *app) {
		a.send(n)
		a.readSome()
		a.SetLinger(0)
		a.Close()
		a.ended = mine
	}
}

// send does not care whether all is taken: how the connection ends tells.
func (a *app) send(n int) { a.Write(make([]byte, n)) }

// quiet is how long nothing comes until an app takes that for all there is.
const quiet = 700 * time.Millisecond

// readSome reads until nothing comes for a while, or the end.
func (a *app) readSome() { a.read(quiet) }

// readOn reads to the end.
func (a *app) readOn() { a.read(20 * time.Second) }

func (a *app) read(patience time.Duration) {
	buf := make([]byte, 64<<10)
	for a.ended == "" {
		a.SetReadDeadline(time.Now().Add(patience))
		n, err := a.Read(buf)
		a.received += int64(n)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			a.ended = orderly
		case errors.Is(err, os.ErrDeadlineExceeded):
			if patience > quiet {
				a.t.Fatalf("no end after %d bytes", a.received)
			}
			return
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			a.ended = reset
		default:
			a.t.Fatal(err)
		}
	}
}

// sidecar is the real program, with an endpoint for every row.
type sidecar struct {
	*program.Process
	addresses map[string]string // by recording
}

// startSidecar starts the player and the program, which end with the test.
func startSidecar(t *testing.T, far *replay.Far) *sidecar {
	t.Helper()
	cert, ca, err := fakerelay.NewCertificate("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	far.Certificate = cert
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- far.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	dir := t.TempDir()
	if err := program.Build(t.Context(), dir, false, "hyco-sidecar/cmd/hyco-sidecar"); err != nil {
		t.Fatal(err)
	}
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	var loopback program.Loopback
	dns, err := program.FreeAddress(loopback.IP())
	if err != nil {
		t.Fatal(err)
	}
	c := &sidecar{addresses: make(map[string]string)}
	env := []string{
		"HYCO_CA_FILE=" + caFile, "HYCO_DNS_LISTEN=" + dns, "HYCO_DNS_UPSTREAMS=127.0.0.1:9", "HYCO_ADMIN_LISTEN=off",
		"HYCO_WARM_CONNECTIONS=0", "HYCO_LINGER=3s", "HYCO_CONNECT_TIMEOUT=8s", "HYCO_DRAIN_TIMEOUT=1s",
	}
	rule := fakerelay.Rule{Name: "defaultSender", Key: "c2VuZA==", Send: true}
	for i, r := range rows {
		ip := loopback.IP()
		address, err := program.FreeAddress(ip)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(address) // it is one
		n := fmt.Sprintf("HYCO_CONNECTION_%d_", i)
		env = append(env, n+"ENDPOINT="+r.entity()+".corp.example:"+port, n+"ADDRESS="+ip,
			n+"CONNECTION_STRING="+fakerelay.ConnectionString(ln.Addr().String(), fakerelay.Entity{Path: r.entity()}, rule))
		for _, s := range r.settings {
			env = append(env, n+s)
		}
		c.addresses[r.recording] = address
	}
	if c.Process, err = program.Start(program.Command{Path: filepath.Join(dir, "hyco-sidecar"), Env: env}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, err := c.Stop(syscall.SIGTERM, 20*time.Second); code != 0 || err != nil {
			t.Errorf("the sidecar ended with exit code %d, %v\n%s", code, err, c.Stderr.Tail(4000))
		}
	})
	if _, err := c.Await(t.Context(), &c.Stderr, `"msg":"ready"`); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *sidecar) connect(t *testing.T, r row) *app {
	t.Helper()
	conn, err := net.Dial("tcp", c.addresses[r.recording])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &app{TCPConn: conn.(*net.TCPConn), t: t}
}

// cause is what the log says of the row's only connection.
func (c *sidecar) cause(t *testing.T, r row) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	text, err := c.Await(ctx, &c.Stderr, `"connection closed","endpoint":"`+r.entity())
	if err != nil {
		t.Fatal(err)
	}
	var line struct{ Cause string }
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err)
	}
	return line.Cause
}

package fakelistener_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/transcript"
)

// original is one recording of a real program, and what is needed to play it again to
// the personality that stands for it.
type original struct {
	recording string
	command   string   // for the target, where the recording does not have all of it
	ports     []string // PortNames
	udp       bool     // Datagrams
	refuses   bool     // the target refuses
	hole      bool     // the target does not answer
	denied    bool     // the target is not on aztunnel's list
	shortened bool     // the target's reset costs bytes that were under way: how many arrive is chance
	upTo      int      // events that are played; 0 = all
	differs   string   // why not all
}

var originals = map[fakelistener.Personality][]original{
	fakelistener.HCM: {
		{recording: "c1-client-halfcloses-target-needs-fin", command: "EOFSUM 1 1000", upTo: 2,
			differs: "what follows is the sender's doing: it leaves after 120 s of silence"},
		{recording: "c3-client-halfcloses-target-answers-and-closes", command: "DOWN 1000000 fin"},
		{recording: "c4-target-halfcloses-then-reads", command: "DOWN 1000 hfin"},
		{recording: "d1-target-closes-app-waits", command: "DOWN 1000 fin"},
		{recording: "d2-target-closed-app-reuses", command: "DOWN 1000 fin", upTo: 2,
			differs: "the second and the third request are one line of the recording; TestHCMTellsOfAClosedTargetAtTheSecondWrite has them"},
		{recording: "d5-target-closes-without-bytes-after-request", command: "DOWN 0 fin"},
		{recording: "e1-target-resets-mid-download", command: "DOWN 20000000 rst", shortened: true},
		{recording: "e2a-target-resets-mid-upload", command: "RSTAFTER 1000000 0"},
		{recording: "e3-app-resets-mid-download", command: "DOWN 3000000 hfin"},
		{recording: "e4-app-resets-mid-upload", command: "UP"},
		{recording: "e5-target-resets-after-app-halfcloses", command: "DOWN 20000000 rst", shortened: true},
		{recording: "f1-target-refused", refuses: true},
		{recording: "f1b-target-refused-app-silent", refuses: true},
		{recording: "f1c-target-refused-app-halfcloses", refuses: true},
		{recording: "f1d-target-refused-app-uploads", refuses: true},
		{recording: "f2-target-black-hole", hole: true},
		{recording: "f2b-target-black-hole-upload", hole: true},
		{recording: "k1-banner", command: "BANNER", upTo: 1, differs: "the banner itself was not recorded"},
	},
	fakelistener.DotnetRaw: {
		{recording: "r1-dotnet-raw-echo-shutdown", command: "e"},
		{recording: "r2-dotnet-raw-closeasync-without-shutdown", command: "c"},
		{recording: "r3-dotnet-raw-text-mode", command: "t"},
		{recording: "r4-dotnet-raw-empty-message", command: "z"},
		{recording: "r5-dotnet-raw-32MiB-message", command: "m"},
		{recording: "r6-dotnet-raw-shutdown-then-reads", command: "s"},
	},
	fakelistener.Azbridge: {
		{recording: "c1_client_half_close", ports: sql},
		{recording: "c2_server_half_close", ports: sql},
		{recording: "d_server_close", ports: sql},
		{recording: "e1_server_reset_mid_transfer", ports: sql, command: "DOWN 3000000 rst", shortened: true},
		{recording: "e2_server_reset_idle", ports: sql, command: "DOWN 3000 rstwait"},
		{recording: "e3_server_reset_while_app_sends", ports: sql, command: "RSTAFTER 200000 10"},
		{recording: "e5_client_reset_up", ports: sql},
		{recording: "e6_client_reset_down", ports: sql, command: "DOWN 1018814 hfin"},
		{recording: "e7_client_reset_idle", ports: sql},
		{recording: "f1_target_refused_app_silent", ports: []string{"dead"}, refuses: true},
		{recording: "f2_target_refused_app_speaks", ports: []string{"dead"}, refuses: true},
		{recording: "f3_black_hole", ports: []string{"hole"}, hole: true},
		{recording: "j1_port_name_aa", ports: several},
		{recording: "j2_wrong_port_name_several", ports: several},
		{recording: "j3_numeric_name_several", ports: several},
		{recording: "j4_number_single_number_port", ports: []string{"9103"}},
		{recording: "j5_wrong_number_single", ports: []string{"9103"}},
		{recording: "j6_wrong_name_single", ports: sql},
		{recording: "j7_number_single_named_port", ports: sql},
		{recording: "j9_name_of_255_bytes", ports: sql},
		{recording: "l1_no_preamble_app_first_get", ports: sql},
		{recording: "l2_no_preamble_app_first_1byte", ports: sql},
		{recording: "l4_no_preamble_app_first_tds", ports: sql},
		{recording: "l5_no_preamble_starts_010000", ports: sql, command: "\x01\x00\x00\x03sqlDOWN 10 fin"},
		{recording: "l6_no_preamble_server_first", ports: sql},
		{recording: "l7_aztunnel_sender", ports: sql},
		{recording: "n1_datagram_only", ports: []string{"udp"}, udp: true},
		{recording: "p1_app_stops_reading_70s", ports: sql, command: "DOWN 104857600 fin", upTo: 5,
			differs: "a sender that stops reading is played by TestAzbridgeLeavesARelayThatTakesNothing"},
	},
	fakelistener.Aztunnel: {
		{recording: "c1_client_half_close"},
		{recording: "c2_server_half_close"},
		{recording: "d_server_close"},
		{recording: "e1_server_reset", command: "DOWN 3000 rstwait"},
		{recording: "e3_server_reset_while_app_sends", command: "RSTAFTER 20000 10"},
		{recording: "e6_client_reset"},
		{recording: "f1_target_refused", refuses: true},
		{recording: "f2_target_not_allowed", denied: true},
		{recording: "l1_no_envelope"},
		{recording: "m1_message_of_32768_bytes"},
		{recording: "m2_message_of_32769_bytes", shortened: true},
		{recording: "z1_empty_message"},
		{recording: "z2_close_4002"},
	},
	fakelistener.NodeLike: {
		{recording: "c1_client_half_close"},
		{recording: "c2_server_half_close"},
		{recording: "d_server_close"},
		{recording: "e1_server_reset", command: "DOWN 3000 rstwait"},
		{recording: "e3_server_reset_while_app_sends", command: "RSTAFTER 20000 10"},
		{recording: "e6_client_reset"},
		{recording: "m1_message_of_32768_bytes"},
		{recording: "m2_message_of_32769_bytes"},
		{recording: "z1_empty_message"},
		{recording: "z2_close_4002"},
	},
}

var (
	sql     = []string{"sql"}
	several = []string{"aa", "bb"}
	folders = map[fakelistener.Personality]string{
		fakelistener.HCM: "hcm", fakelistener.DotnetRaw: "dotnet", fakelistener.Azbridge: "azbridge", fakelistener.Aztunnel: "aztunnel", fakelistener.NodeLike: "node",
	}
)

// listenerFor is the personality in the circumstances of a recording, with the times
// that only make a test long made short.
func (o *original) listenerFor(p fakelistener.Personality) *fakelistener.Listener {
	l := &fakelistener.Listener{Personality: p, PortNames: o.ports, Datagrams: o.udp, EndsTLS: true, CloseWait: 3 * time.Second}
	switch {
	case o.refuses:
		l.Dial = func(ctx context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
	case o.hole:
		l.DialTimeout = 2 * quiet
		l.Dial = func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	case o.denied:
		l.Allow = func(string) bool { return false }
	}
	return l
}

// TestPersonalitiesEqualTheirOriginals takes the sender's part of each recording and
// wants from the personality what the original said: the same kinds of frames with as
// many bytes, the same Closes, and the same end, in the same order. The number of frames
// and the places of their cuts depend on the moment, and are not compared, but none is
// larger than the original's largest.
func TestPersonalitiesEqualTheirOriginals(t *testing.T) {
	for personality, all := range originals {
		most := largest(t, folders[personality])
		for _, o := range all {
			t.Run(string(personality)+"/"+o.recording, func(t *testing.T) {
				t.Parallel()
				r, err := transcript.Read("../transcript/testdata/" + folders[personality] + "/" + o.recording + ".txt")
				if err != nil {
					t.Fatal(err)
				}
				s := newSite(t, o.listenerFor(personality), &fakerelay.Server{})
				s.serveTargets()
				events := r.AfterUpgrade()
				if o.upTo > 0 {
					t.Logf("%d of %d events are played: %s", o.upTo, len(events), o.differs)
					events = events[:o.upTo]
				}
				p := newPlayer(t, s, o)
				p.largest = most
				p.play(events)
			})
		}
	}
}

// largest is the payload of the largest data frame that the far side sent in any of a
// folder's recordings.
func largest(t *testing.T, folder string) (n int64) {
	all, err := transcript.ReadAll("../transcript/testdata/" + folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		for _, e := range r.Sender {
			if !e.Near {
				n = max(n, e.Largest)
			}
		}
	}
	return n
}

// TestEveryRecordingIsPlayed: of each original every recording is played, or left out
// for a reason.
func TestEveryRecordingIsPlayed(t *testing.T) {
	leftOut := map[string]string{
		"hcm/g1-hcm-killed-mid-download":             "the listener's death is the test's to cause: TestListenersDieWithoutAClose",
		"hcm/g2-hcm-killed-mid-upload":               "as g1",
		"hcm/g3-hcm-killed-while-idle":               "as g1",
		"hcm/g4-hcm-service-stopped-mid-download":    "as g1",
		"hcm/g5-hcm-restart-connection-mid-download": "as g1: the control channel ends and connections stay, TestConnectionsOutliveTheControlChannel",
		"hcm/g6-hcm-stopped-mid-download":            "a process that is stopped is the kernel's silence, not the listener's",
		"hcm/g7-hcm-stopped-new-connection":          "as g6",
		"hcm/g9-hcm-killed-after-app-halfclose":      "as g1",
		"hcm/h1-relay-killed-mid-download":           "the relay's death",
		"hcm/h2-relay-sigterm-mid-download":          "the relay's end",
		"hcm/j1-idle-440s":                           "440 s of pings and pongs: TestKeepAlivesDoNotDisturbTheData",
	}
	for personality, folder := range folders {
		all, err := transcript.ReadAll("../transcript/testdata/" + folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			played := false
			for _, o := range originals[personality] {
				played = played || folder+"/"+o.recording == r.Name
			}
			if !played && leftOut[r.Name] == "" {
				t.Errorf("%s is not played", r.Name)
			}
		}
	}
}

package forwarder

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The names that the tables below use, in the order of the constants.
var (
	upNames    = []string{"open", "ending", "ended", "notTold", "lost"}
	downNames  = []string{"open", "half", "closed"}
	appNames   = []string{"here", "unknown", "left", "refuses"}
	eventNames = []string{"AppEnd", "EndTold", "EndNotTold", "RemoteWriteError",
		"RemoteHalfClose", "RemoteClose", "RemoteCloseUnused",
		"AppRefusal", "AppWriteError", "AppReset", "RemoteReadError", "StallAbandoned", "BothCopied", "Shutdown",
		"AskDue", "AppFoundClosed", "AppFoundOpen", "AppUnknown", "GraceOver", "LingerOver", "IdleOver"}
)

// transitions is the machine: one row per event, and in each column what the state in
// its heading becomes, "-" where it stays.
const transitions = `
                  | open   ending  ended  notTold lost | open   half closed | here    unknown left    refuses
AppEnd            | ending -       -      -       -    | -      -    -      | -       -       -       -
EndTold           | -      ended   -      -       -    | -      -    -      | -       -       -       -
EndNotTold        | -      notTold -      -       -    | -      -    -      | -       -       -       -
RemoteWriteError  | lost   -       -      -       -    | -      -    -      | -       -       -       -
RemoteHalfClose   | -      -       -      -       -    | half   -    -      | -       -       -       -
RemoteClose       | -      -       -      -       -    | closed -    -      | -       -       -       -
RemoteCloseUnused | -      -       -      -       -    | closed -    -      | -       -       -       -
AppRefusal        | -      -       -      -       -    | -      -    -      | refuses refuses refuses -
AppWriteError     | -      -       -      -       -    | -      -    -      | refuses refuses refuses -
AppReset          | -      -       -      -       -    | -      -    -      | -       -       -       -
RemoteReadError   | -      -       -      -       -    | -      -    -      | -       -       -       -
StallAbandoned    | -      -       -      -       -    | -      -    -      | -       -       -       -
BothCopied        | -      -       -      -       -    | -      -    -      | -       -       -       -
Shutdown          | -      -       -      -       -    | -      -    -      | -       -       -       -
AskDue            | -      -       -      -       -    | -      -    -      | -       -       -       -
AppFoundClosed    | -      -       -      -       -    | -      -    -      | left    left    -       -
AppFoundOpen      | -      -       -      -       -    | -      -    -      | -       -       -       -
AppUnknown        | -      -       -      -       -    | -      -    -      | unknown -       -       -
GraceOver         | -      -       -      -       -    | -      -    -      | -       -       -       -
LingerOver        | -      -       -      -       -    | -      -    -      | -       -       -       -
IdleOver          | -      -       -      -       -    | -      -    -      | -       -       -       -
`

// actions is what follows from an event: of its rows the first that fits the state
// before. Where a connection ends its state stays, and the last columns are its cause,
// what the app gets, and whose error is told.
const actions = `
AppEnd            | *             *           *                 | wait
EndTold           | *             *           *                 | wait
EndNotTold        | *             *           *                 | wait
RemoteWriteError  | *             *           *                 | wait
RemoteHalfClose   | *             *           *                 | wait
RemoteClose       | *             *           *                 | wait
RemoteCloseUnused | open,lost     open        here,unknown,left | target_unreachable_suspected reset
RemoteCloseUnused | *             *           *                 | wait
AppRefusal        | *             *           *                 | wait
AppWriteError     | open,lost     *           *                 | app_reset                    reset
AppWriteError     | *             *           *                 | wait
AppReset          | *             *           *                 | app_reset                    reset
RemoteReadError   | *             *           *                 | tunnel_dropped               reset event's
StallAbandoned    | *             *           *                 | app_gone                     reset
BothCopied        | notTold,lost  half        *                 | tunnel_dropped               reset upward
BothCopied        | lost          *           *                 | remote_closed                end   upward
BothCopied        | *             *           refuses           | app_gone                     reset
BothCopied        | *             *           *                 | closed                       end
Shutdown          | *             *           *                 | shutdown                     reset
AskDue            | *             *           *                 | ask
AppFoundClosed    | *             *           *                 | wait
AppFoundOpen      | *             *           *                 | wait
AppUnknown        | *             *           *                 | wait
GraceOver         | *             *           *                 | app_gone                     reset
LingerOver        | notTold,lost  half        *                 | tunnel_dropped               reset upward
LingerOver        | lost          closed      *                 | remote_closed                end   upward
LingerOver        | notTold       closed      refuses           | app_gone                     reset
LingerOver        | notTold       closed      *                 | closed                       end
LingerOver        | *             *           left,refuses      | app_gone                     reset
LingerOver        | *             half,closed *                 | lingered                     end
LingerOver        | *             open        *                 | lingered                     reset
IdleOver          | *             *           *                 | idle_timeout                 reset
`

// cell is what transitions has for an event and a state of one of the three columns.
func cell(t *testing.T, what event, column int, names []string, state uint8) (to uint8) {
	t.Helper()
	for row := range strings.Lines(transitions) {
		columns := strings.Split(row, "|")
		if strings.TrimSpace(columns[0]) != eventNames[what] {
			continue
		}
		cells := strings.Fields(columns[column])
		if len(cells) != len(names) {
			t.Fatalf("%s has %d states in column %d, want %d", eventNames[what], len(cells), column, len(names))
		}
		if cells[state] == "-" {
			return state
		}
		to := slices.Index(names, cells[state])
		if to < 0 {
			t.Fatalf("%s leads to an unknown state %q", eventNames[what], cells[state])
		}
		return uint8(to)
	}
	t.Fatalf("%s is missing from the table of transitions", eventNames[what])
	return 0
}

// wantAction is what the table of actions has for an event and a state.
func wantAction(t *testing.T, what event, e ends) (do action, v verdict) {
	t.Helper()
	for row := range strings.Lines(actions) {
		name, rest, _ := strings.Cut(row, "|")
		when, then, _ := strings.Cut(rest, "|")
		if strings.TrimSpace(name) != eventNames[what] || !fits(strings.Fields(when), e) {
			continue
		}
		switch then := append(strings.Fields(then), "", ""); {
		case then[0] == "wait":
			return doWait, verdict{}
		case then[0] == "ask":
			return doAsk, verdict{}
		default:
			err := map[string]error{"event's": errOfEvent, "upward": errUpward}[then[2]]
			return map[string]action{"end": doEnd, "reset": doReset}[then[1]], verdict{Cause(then[0]), err}
		}
	}
	t.Fatalf("%s in %s is missing from the table of actions", eventNames[what], state(e))
	return 0, verdict{}
}

// fits reports whether a row's patterns take in the three parts of a state.
func fits(patterns []string, e ends) bool {
	for n, name := range []string{upNames[e.up], downNames[e.down], appNames[e.app]} {
		if patterns[n] != "*" && !slices.Contains(strings.Split(patterns[n], ","), name) {
			return false
		}
	}
	return true
}

func state(e ends) string {
	return fmt.Sprintf("%s/%s/%s", upNames[e.up], downNames[e.down], appNames[e.app])
}

var (
	errOfEvent = errors.New("of the event")
	errUpward  = errors.New("on the way up")
)

// everyState calls f with each state of a connection that is not over.
func everyState(f func(e ends)) {
	for up := range upStates {
		for down := range downStates {
			for app := range appStates {
				e := ends{limits: limits{dial: 30 * time.Second, linger: 2 * time.Minute}, up: up, down: down, app: app}
				if up == upNotTold || up == upLost {
					e.upErr = errUpward
				}
				f(e)
			}
		}
	}
}

func TestEveryEventInEveryState(t *testing.T) {
	if len(eventNames) != int(events) || len(upNames) != int(upStates) ||
		len(downNames) != int(downStates) || len(appNames) != int(appStates) {
		t.Fatal("a constant has no name in the tables")
	}
	const now = 20 * time.Second
	everyState(func(e ends) {
		for what := range events {
			wantDo, wantVerdict := wantAction(t, what, e)
			want := e
			if wantVerdict.cause == "" {
				want.up = upState(cell(t, what, 1, upNames, uint8(e.up)))
				want.down = downState(cell(t, what, 2, downNames, uint8(e.down)))
				want.app = appState(cell(t, what, 3, appNames, uint8(e.app)))
			}
			got := e
			do := got.record(what, now, errOfEvent)
			if state(got) != state(want) || do != wantDo || got.verdict != wantVerdict {
				t.Errorf("%s in %s: got %s, action %d, %v; want %s, action %d, %v",
					eventNames[what], state(e), state(got), do, got.verdict, state(want), wantDo, wantVerdict)
			}
			if ended := got.over(); ended != (got.endedAt == now) || ended != (do == doEnd || do == doReset) {
				t.Errorf("%s in %s: over is %v with action %d at %v", eventNames[what], state(e), ended, do, got.endedAt)
			}
		}
	})
}

// TestFirstCauseStands: a connection that is over stays as it is.
func TestFirstCauseStands(t *testing.T) {
	everyState(func(e ends) {
		e.record(onShutdown, time.Second, nil)
		for what := range events {
			got := e
			if do := got.record(what, time.Minute, errOfEvent); got != e || do != doNothing {
				t.Errorf("%s after the end of %s: got %+v, action %d", eventNames[what], state(e), got, do)
			}
		}
		if at, _ := e.next(0, 0); at != never {
			t.Errorf("something is due after the end of %s", state(e))
		}
	})
}

func TestUnusedTunnelIsToldApartByItsAge(t *testing.T) {
	for age, want := range map[time.Duration]Cause{30 * time.Second: TargetUnreachable, 31 * time.Second: ClosedWithoutData} {
		e := ends{limits: limits{dial: 30 * time.Second}}
		if e.record(onRemoteCloseUnused, age, nil); e.verdict.cause != want {
			t.Errorf("after %v: got %q, want %q", age, e.verdict.cause, want)
		}
	}
}

// TestWhatIsDue has a history per row, an event each second, and what is due after it
// with a byte moved at 10 s.
func TestWhatIsDue(t *testing.T) {
	const second = time.Second
	both := limits{linger: 120 * second, asks: true}
	told := []event{onAppEnd, onEndTold}
	askedOften := append(told, slices.Repeat([]event{onAppFoundOpen}, 20)...)
	for _, test := range []struct {
		name    string
		limits  limits
		history []event
		arrived time.Duration
		at      time.Duration
		what    event
	}{
		{"open", both, nil, 0, never, onIdleOver},
		{"open, with a limit", limits{linger: 120 * second, idle: 60 * second}, nil, 0, 70 * second, onIdleOver},
		{"the app ends", both, []event{onAppEnd}, 0, 130 * second, onLingerOver},
		{"the remote side knows", both, told, 0, 2*second + firstAsk, onAskDue},
		{"nobody can be asked", limits{linger: 120 * second}, told, 0, 130 * second, onLingerOver},
		{"asked once", both, []event{onAppEnd, onEndTold, onAppFoundOpen}, 0, 3*second + 2*firstAsk, onAskDue},
		{"asked often", both, askedOften, 0, 22*second + maxAsk, onAskDue},
		{"linger comes before the question", limits{linger: second, asks: true}, askedOften, 0, 11 * second, onLingerOver},
		{"nobody can tell", both, []event{onAppEnd, onEndTold, onAppUnknown}, 0, 130 * second, onLingerOver},
		{"both have ended", both, []event{onAppEnd, onEndTold, onRemoteClose}, 0, 130 * second, onLingerOver},
		{"the app has left", both, []event{onAppEnd, onEndTold, onAppFoundClosed}, 0, 3*second + goneGrace, onGraceOver},
		{"and sent much", both, []event{onAppEnd, onEndTold, onAppFoundClosed}, 20 * second, 20*second + goneGrace, onGraceOver},
		{"and more than Linger waits for", both, []event{onAppEnd, onEndTold, onAppFoundClosed}, 200 * second, 130 * second, onLingerOver},
		{"refused before the remote side knows", both, []event{onAppEnd, onAppRefusal}, 0, 130 * second, onLingerOver},
		{"and told later", both, []event{onAppEnd, onAppRefusal, onEndNotTold}, 0, 3*second + goneGrace, onGraceOver},
		{"refused before its end is read", both, []event{onAppRefusal}, 0, never, onIdleOver},
		{"the remote side takes no more", both, []event{onRemoteWriteError}, 0, 130 * second, onLingerOver},
		{"and the app has left", both, []event{onRemoteWriteError, onAppRefusal}, 0, 2*second + goneGrace, onGraceOver},
		{"the remote side ends", both, []event{onRemoteHalfClose}, 0, 130 * second, onLingerOver},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := ends{limits: test.limits}
			for n, what := range test.history {
				e.record(what, time.Duration(n+1)*second, errOfEvent)
			}
			if at, what := e.next(10*second, test.arrived); at != test.at || what != test.what {
				t.Errorf("got %s at %v, want %s at %v", eventNames[what], at, eventNames[test.what], test.at)
			}
		})
	}
}

// BenchmarkEnds takes a connection through an ordinary life.
func BenchmarkEnds(b *testing.B) {
	l := limits{dial: 30 * time.Second, linger: 2 * time.Minute, asks: true}
	b.ReportAllocs()
	for b.Loop() {
		e := ends{limits: l}
		for now, what := range []event{onAppEnd, onEndTold, onAppFoundOpen, onRemoteClose, onBothCopied} {
			e.record(what, time.Duration(now)*time.Second, nil)
			_, _ = e.next(0, 0)
		}
		if e.verdict.cause != Closed {
			b.Fatal(e.verdict)
		}
	}
}

package relayclient

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	allOurs   = []ours{oursOpen, oursToBoth, oursPending, oursClosed}
	allTheirs = []theirs{theirsOpen, theirsShutDown, theirsEnded, theirsFailed}
	allConns  = []connection{connUp, connDraining, connGone, connDead, connShut}
)

// allEnds is every state, those that no history leads to included.
func allEnds() (all []ends) {
	for _, o := range allOurs {
		for _, t := range allTheirs {
			for _, c := range allConns {
				all = append(all, ends{o, t, c})
			}
		}
	}
	return all
}

// transition is what one event does in the states that it names; nil names them all.
type transition struct {
	on     event
	ours   []ours
	theirs []theirs
	conn   []connection
	to     func(e *ends) // nil: what is known stays
	do     action
}

func (t transition) matches(e ends, ev event) bool {
	return t.on == ev &&
		(t.ours == nil || slices.Contains(t.ours, e.ours)) &&
		(t.theirs == nil || slices.Contains(t.theirs, e.theirs)) &&
		(t.conn == nil || slices.Contains(t.conn, e.conn))
}

func transitions() []transition {
	notClosed := []ours{oursOpen, oursToBoth, oursPending}
	over := []connection{connGone, connDead, connShut}
	alive := []connection{connUp, connDraining}
	known := []theirs{theirsShutDown, theirsEnded, theirsFailed}
	complete := []theirs{theirsShutDown, theirsEnded}
	incomplete := []theirs{theirsOpen, theirsFailed}

	table := []transition{
		{on: onClosesBoth, ours: []ours{oursOpen}, to: func(e *ends) { e.ours = oursToBoth }},
		{on: onClosesBoth, ours: []ours{oursToBoth, oursPending, oursClosed}},

		{on: onCloseWrite, ours: []ours{oursOpen}, do: doTakeTurn},
		{on: onCloseWrite, ours: []ours{oursToBoth}, to: func(e *ends) { e.ours = oursPending }},
		{on: onCloseWrite, ours: []ours{oursPending, oursClosed}},

		{on: onTurn, ours: notClosed, conn: alive, to: func(e *ends) { e.ours = oursClosed }, do: doSendClose},
		{on: onTurn, ours: notClosed, conn: over, do: doRefuse},
		{on: onTurn, ours: []ours{oursClosed}},

		{on: onRelayEnd, conn: []connection{connDraining}, to: func(e *ends) { e.conn = connGone }},
		{on: onRelayEnd, conn: []connection{connUp, connGone, connDead, connShut}},

		{on: onNoPong, conn: []connection{connUp, connDraining, connGone, connDead}, to: func(e *ends) { e.conn = connDead }, do: doAbort},
		{on: onNoPong, conn: []connection{connShut}},

		{on: onClose, conn: []connection{connShut}},
		{on: onClose, conn: []connection{connDead}, do: doAbort},
		{on: onClose, conn: alive, ours: []ours{oursOpen, oursToBoth}, do: doAbort},
		{on: onClose, conn: alive, ours: []ours{oursPending}, do: doTakeTurn},
		{on: onClose, conn: []connection{connGone}, ours: notClosed, do: doAbort},
		{on: onClose, conn: []connection{connUp, connDraining, connGone}, ours: []ours{oursClosed}, theirs: incomplete, do: doCloseTLS},
		{on: onClose, conn: []connection{connUp}, ours: []ours{oursClosed}, theirs: complete, do: doReadOn},
		{on: onClose, conn: []connection{connDraining, connGone}, ours: []ours{oursClosed}, theirs: complete, do: doAwaitDrain},

		{on: onShut, conn: []connection{connUp, connDraining, connGone, connShut}, to: func(e *ends) { e.conn = connShut }},
		{on: onShut, conn: []connection{connDead}},
	}
	for ev, end := range map[event]theirs{onTheyShutDown: theirsShutDown, onTheyClose: theirsEnded, onTheyFail: theirsFailed} {
		table = append(table,
			transition{on: ev, theirs: known},
			transition{on: ev, theirs: []theirs{theirsOpen}, conn: []connection{connDead}},
			transition{on: ev, theirs: []theirs{theirsOpen}, conn: []connection{connUp}, ours: notClosed,
				to: func(e *ends) { e.theirs, e.conn = end, connDraining }, do: doDrain},
			transition{on: ev, theirs: []theirs{theirsOpen}, conn: []connection{connUp}, ours: []ours{oursClosed},
				to: func(e *ends) { e.theirs = end }},
			transition{on: ev, theirs: []theirs{theirsOpen}, conn: []connection{connDraining, connGone, connShut},
				to: func(e *ends) { e.theirs = end }},
		)
	}
	return table
}

// TestEveryTransition: the table says exactly once what each event does in each state.
func TestEveryTransition(t *testing.T) {
	table := transitions()
	for _, e := range allEnds() {
		for ev := range events {
			var said []transition
			for _, row := range table {
				if row.matches(e, ev) {
					said = append(said, row)
				}
			}
			if len(said) != 1 {
				t.Errorf("%+v, event %d: the table has %d rows", e, ev, len(said))
				continue
			}
			want := e
			if said[0].to != nil {
				said[0].to(&want)
			}
			if got, do := e.after(ev); got != want || do != said[0].do {
				t.Errorf("%+v, event %d: got %+v and action %d, want %+v and %d", e, ev, got, do, want, said[0].do)
			}
		}
	}
}

// TestWhatEndsPromise holds the states that some history leads to against the invariants
// of the package.
func TestWhatEndsPromise(t *testing.T) {
	reached := map[ends]bool{{}: true}
	for queue := []ends{{}}; len(queue) > 0; queue = queue[1:] {
		e := queue[0]
		if (e.conn == connDraining || e.conn == connGone) && e.theirs == theirsOpen {
			t.Errorf("%+v: nobody ended reading", e)
		}
		for ev := range events {
			to, do := e.after(ev)
			if do == doSendClose && (e.ours == oursClosed || to.ours != oursClosed) {
				t.Errorf("%+v, event %d: a second Close frame can be sent", e, ev)
			}
			if do == doDrain && (e.conn != connUp || to.conn == connUp) {
				t.Errorf("%+v, event %d: two can read on", e, ev)
			}
			if to.ours < e.ours || to.conn < e.conn && e.conn != connDead || e.theirs != theirsOpen && to.theirs != e.theirs {
				t.Errorf("%+v, event %d: back to %+v", e, ev, to)
			}
			if !e.mayStart() && to.mayStart() {
				t.Errorf("%+v, event %d: goroutines may begin again", e, ev)
			}
			if !reached[to] {
				reached[to] = true
				queue = append(queue, to)
			}
		}
		if _, do := e.after(onClose); do == doTakeTurn {
			sent, _ := e.after(onTurn)
			if _, do = sent.after(onClose); do == doTakeTurn {
				t.Errorf("%+v: Close goes round", e)
			}
		}
	}
	if got, all := len(reached), len(allEnds()); got < all/2 {
		t.Errorf("only %d of %d states are reached", got, all)
	}
}

func TestEndsFitOneWord(t *testing.T) {
	for _, e := range allEnds() {
		if got := unpack(e.pack()); got != e {
			t.Errorf("got %+v, want %+v", got, e)
		}
	}
}

// flags are the eight fields that were a Conn's end before ends, with the code that read
// and wrote them.
type flags struct {
	closesBoth, pending                 bool // the Close frame is kept back until Conn.Close
	closeSent, draining, gone           bool
	complete, shutDown, gaveUp, closing bool
}

func (f *flags) write() error {
	switch {
	case f.gaveUp:
		return errNoPong
	case f.closeSent:
		return errCloseSent
	case f.gone, f.closing:
		return ErrDropped
	}
	return nil
}

func (f *flags) closeWrite() (frame bool, err error) {
	if f.closesBoth {
		f.pending = true
		return false, nil
	}
	return f.closeFrame()
}

func (f *flags) closeFrame() (frame bool, err error) {
	switch {
	case f.closeSent:
		return false, nil
	case f.gaveUp:
		return false, errNoPong
	case f.gone:
		return false, ErrDropped
	}
	f.closeSent = true
	return true, nil
}

func (f *flags) read(end *CloseError) (drain bool, err error) {
	if f.gaveUp {
		return false, errNoPong
	}
	if !f.closeSent && !f.draining {
		f.draining, drain = true, !f.closing
	}
	switch end.Code {
	case 1000, 1001, 1005:
		f.complete, f.shutDown = true, end.Code == 1000 && end.Reason == "Shutdown"
		return drain, io.EOF
	}
	return drain, end
}

func (f *flags) close() (frame bool, do action) {
	ended := f.pending || f.closeSent
	if f.pending {
		frame, _ = f.closeFrame()
	}
	switch {
	case f.gaveUp:
		return frame, doAbort // the connection was aborted before
	case !ended || !f.closeSent:
		return frame, doAbort
	case f.complete && f.draining:
		return frame, doAwaitDrain
	case f.complete:
		return frame, doReadOn
	}
	return frame, doCloseTLS
}

// TestEndsAreAsTheFlagsWere compares ends with flags on random histories.
func TestEndsAreAsTheFlagsWere(t *testing.T) {
	for run := range uint64(50_000) {
		random := rand.New(rand.NewPCG(1, run))
		var e ends
		var f flags
		note := func(ev event) (do action) {
			e, do = e.after(ev)
			return do
		}
		history := ""
		check := func(what string, got, want any) {
			t.Helper()
			if got != want {
				t.Fatalf("run %d, after%s: %s: got %v, want %v; %+v, %+v", run, history, what, got, want, e, f)
			}
		}
		if random.IntN(2) == 0 {
			note(onClosesBoth)
			f.closesBoth = true
		}
		end := []*CloseError{{1000, "Shutdown"}, {1000, "CloseAsync"}, {1001, "Shutdown"}, {1005, ""}, {1008, ""}}[random.IntN(5)]
		for range 8 {
			op := random.IntN(6)
			history += fmt.Sprintf(" %d", op)
			switch op {
			case 0: // CloseWrite, unless Close was called
				if f.closing {
					continue
				}
				wantFrame, wantErr := f.closeWrite()
				var frame bool
				var err error
				if note(onCloseWrite) == doTakeTurn {
					switch note(onTurn) {
					case doSendClose:
						frame = true
					case doRefuse:
						err = e.writeError()
					}
				}
				check("CloseWrite", err, wantErr)
				check("Close frame", frame, wantFrame)
			case 1: // Read meets the Close frame
				wantDrain, wantErr := f.read(end)
				check("drain", note(end.event()) == doDrain, wantDrain)
				check("Read", e.readError(end), wantErr)
			case 2: // who drains meets the end of the connection
				if f.draining {
					f.gone = true
					note(onRelayEnd)
				}
			case 3: // no pong, of which nobody judges after our Close frame or Close
				if !f.closeSent && !f.closing {
					f.gaveUp = true
					check("without a pong", note(onNoPong), doAbort)
				}
			case 4: // Close
				if f.closing {
					continue
				}
				wantFrame, want := f.close()
				f.closing = true
				do, frame := note(onClose), false
				if do == doTakeTurn {
					frame = note(onTurn) == doSendClose
					do = note(onClose)
				}
				check("Close", do, want)
				check("Close frame of Close", frame, wantFrame)
				note(onShut)
			}
			got, want := e.writeError(), f.write()
			if errors.Is(want, ErrDropped) && errors.Is(got, ErrDropped) {
				got = ErrDropped
			}
			check("Write", got, want)
			check("HalfClosed", e.theirs == theirsShutDown, f.shutDown)
		}
	}
}

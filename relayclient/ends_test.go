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
		{on: closesBoth, ours: []ours{oursOpen}, to: func(e *ends) { e.ours = oursToBoth }},
		{on: closesBoth, ours: []ours{oursToBoth, oursPending, oursClosed}},

		{on: endOurs, ours: []ours{oursOpen}, do: takeTurn},
		{on: endOurs, ours: []ours{oursToBoth}, to: func(e *ends) { e.ours = oursPending }},
		{on: endOurs, ours: []ours{oursPending, oursClosed}},

		{on: ourTurn, ours: notClosed, conn: alive, to: func(e *ends) { e.ours = oursClosed }, do: sendClose},
		{on: ourTurn, ours: notClosed, conn: over, do: refuse},
		{on: ourTurn, ours: []ours{oursClosed}},

		{on: relayEnd, conn: []connection{connDraining}, to: func(e *ends) { e.conn = connGone }},
		{on: relayEnd, conn: []connection{connUp, connGone, connDead, connShut}},

		{on: noPong, conn: []connection{connUp, connDraining, connGone, connDead}, to: func(e *ends) { e.conn = connDead }, do: abortConn},
		{on: noPong, conn: []connection{connShut}},

		{on: endAll, conn: []connection{connShut}},
		{on: endAll, conn: []connection{connDead}, do: abortConn},
		{on: endAll, conn: alive, ours: []ours{oursOpen, oursToBoth}, do: abortConn},
		{on: endAll, conn: alive, ours: []ours{oursPending}, do: takeTurn},
		{on: endAll, conn: []connection{connGone}, ours: notClosed, do: abortConn},
		{on: endAll, conn: []connection{connUp, connDraining, connGone}, ours: []ours{oursClosed}, theirs: incomplete, do: closeTLS},
		{on: endAll, conn: []connection{connUp}, ours: []ours{oursClosed}, theirs: complete, do: readOn},
		{on: endAll, conn: []connection{connDraining, connGone}, ours: []ours{oursClosed}, theirs: complete, do: awaitDrain},

		{on: shut, conn: []connection{connUp, connDraining, connGone, connShut}, to: func(e *ends) { e.conn = connShut }},
		{on: shut, conn: []connection{connDead}},
	}
	for ev, end := range map[event]theirs{theyShutDown: theirsShutDown, theyClose: theirsEnded, theyFail: theirsFailed} {
		table = append(table,
			transition{on: ev, theirs: known},
			transition{on: ev, theirs: []theirs{theirsOpen}, conn: []connection{connDead}},
			transition{on: ev, theirs: []theirs{theirsOpen}, conn: []connection{connUp}, ours: notClosed,
				to: func(e *ends) { e.theirs, e.conn = end, connDraining }, do: drain},
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
			if got, do := e.next(ev); got != want || do != said[0].do {
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
			to, do := e.next(ev)
			if do == sendClose && (e.ours == oursClosed || to.ours != oursClosed) {
				t.Errorf("%+v, event %d: a second Close frame can be sent", e, ev)
			}
			if do == drain && (e.conn != connUp || to.conn == connUp) {
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
		if _, do := e.next(endAll); do == takeTurn {
			sent, _ := e.next(ourTurn)
			if _, do = sent.next(endAll); do == takeTurn {
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
		return frame, abortConn // the connection was aborted before
	case !ended || !f.closeSent:
		return frame, abortConn
	case f.complete && f.draining:
		return frame, awaitDrain
	case f.complete:
		return frame, readOn
	}
	return frame, closeTLS
}

// TestEndsAreAsTheFlagsWere compares ends with flags on random histories.
func TestEndsAreAsTheFlagsWere(t *testing.T) {
	for run := range uint64(50_000) {
		random := rand.New(rand.NewPCG(1, run))
		var e ends
		var f flags
		note := func(ev event) (do action) {
			e, do = e.next(ev)
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
			note(closesBoth)
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
				if note(endOurs) == takeTurn {
					switch note(ourTurn) {
					case sendClose:
						frame = true
					case refuse:
						err = e.writeError()
					}
				}
				check("CloseWrite", err, wantErr)
				check("Close frame", frame, wantFrame)
			case 1: // Read meets the Close frame
				wantDrain, wantErr := f.read(end)
				check("drain", note(end.event()) == drain, wantDrain)
				check("Read", e.readError(end), wantErr)
			case 2: // who drains meets the end of the connection
				if f.draining {
					f.gone = true
					note(relayEnd)
				}
			case 3: // no pong, of which nobody judges after our Close frame or Close
				if !f.closeSent && !f.closing {
					f.gaveUp = true
					check("without a pong", note(noPong), abortConn)
				}
			case 4: // Close
				if f.closing {
					continue
				}
				wantFrame, want := f.close()
				f.closing = true
				do, frame := note(endAll), false
				if do == takeTurn {
					frame = note(ourTurn) == sendClose
					do = note(endAll)
				}
				check("Close", do, want)
				check("Close frame of Close", frame, wantFrame)
				note(shut)
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

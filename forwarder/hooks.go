package forwarder

import "time"

// Hooks are told what happens to connections. Each may be nil and must not block.
// Those of one connection are called one at a time, from several goroutines.
type Hooks struct {
	// Accepted is called when a connection has been accepted.
	Accepted func(target string)
	// Dialled is called when a dial has ended; err is nil when it succeeded.
	Dialled func(target string, took time.Duration, err error)
	// Closed is called once for every accepted connection, at its end.
	Closed func(Summary)
}

// Summary describes one connection that has ended.
type Summary struct {
	Target string        // of the Listener that accepted it
	ID     string        // as NewID made it
	Up     int64         // bytes from the app to the target
	Down   int64         // bytes from the target to the app
	Dial   time.Duration // from accept until the target was reached or given up
	Took   time.Duration // from accept to the end
	Cause  Cause
	Err    error // nil where nothing went wrong; may be a Reasoner or LogAttrer
}

func (h *Hooks) tellAccepted(target string) {
	if h.Accepted != nil {
		h.Accepted(target)
	}
}

func (h *Hooks) tellDialled(target string, took time.Duration, err error) {
	if h.Dialled != nil {
		h.Dialled(target, took, err)
	}
}

func (h *Hooks) tellClosed(s Summary) {
	if h.Closed != nil {
		h.Closed(s)
	}
}

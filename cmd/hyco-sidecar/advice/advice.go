package advice

import (
	"cmp"
	"errors"
)

// Next says what to do about err. It is empty where nothing is known, or nothing
// is to be done.
func Next(err error) string {
	labelled, ok := errors.AsType[interface {
		error
		Reason() string
	}](err)
	if !ok {
		return ""
	}
	return byName[labelled.Reason()].about(err)
}

// NextFor says what to do about a label or a line of the log, where no error tells
// more. It is empty where nothing is known, or nothing is to be done.
func NextFor(name string) string { return byName[name].about(nil) }

// Advice is what a line of the log says beside its facts.
type Advice struct {
	Next      string // what to do; may be empty
	Otherwise string // what else the line may mean; may be empty
	See       string // where the documentation explains it
}

// ForLine returns the advice for a line that has this message, the labels reason
// and cause, of which either may be empty, and the error err, which may be nil.
// Next is what is said of the message, else of reason or, without one, of err, else
// of cause. See follows reason, cause and message, in this order.
func ForLine(message, reason, cause string, err error) Advice {
	line := byName[message]
	a := Advice{Next: line.about(err), See: see(cmp.Or(reason, cause, message))}
	switch {
	case a.Next != "":
		a.Otherwise = line.otherwise
	case reason != "":
		a.Next = byName[reason].about(err)
	default:
		a.Next = Next(err)
	}
	if a.Next == "" {
		a.Next = byName[cause].about(nil)
	}
	return a
}

// AtEveryLevel reports whether a line carries its next step at level info and
// below. Other lines carry one when they warn.
func AtEveryLevel(message string) bool {
	line := byName[message]
	return line != nil && line.always
}

// Verdict is what check comes to: its label, the stage of the way that it belongs
// to, empty where it belongs to none, and the exit code of the process.
type Verdict struct {
	Label    string
	Stage    string
	ExitCode int
}

// Verdicts returns all verdicts by exit code.
func Verdicts() []Verdict {
	all := make([]Verdict, len(verdicts))
	for i, v := range verdicts {
		all[i] = Verdict{v.name, v.stage, v.exit}
	}
	return all
}

// VerdictOf is the label of what check comes to where a dial failed for reason.
func VerdictOf(reason string) string {
	if e := byName[reason]; e != nil && e.verdict != "" {
		return e.verdict
	}
	return reason
}

// Names returns every label and the message of every line that the table has.
func Names() (labels, messages []string) {
	for _, group := range [][]entry{verdicts, reasons} {
		for _, e := range group {
			labels = append(labels, e.name)
		}
	}
	for _, e := range lines {
		messages = append(messages, e.name)
	}
	return labels, messages
}

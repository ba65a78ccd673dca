package check

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Table prints results for a person.
type Table struct {
	Out    io.Writer
	Colour bool // Out is a terminal

	printed bool
}

// Print writes one endpoint's stages, with the next step beneath a failure.
func (t *Table) Print(r Result) {
	var b strings.Builder
	if t.printed {
		b.WriteString("\n")
	}
	t.printed = true
	b.WriteString(t.paint(bold, r.Endpoint) + "\n")
	for _, s := range r.Stages {
		fmt.Fprintf(&b, "  %-13s  %s  %8s  %s\n", s.Stage, t.mark(s.Outcome), t.took(s), s.Saw)
		const indent = "                                    "
		for _, note := range s.Notes {
			b.WriteString(indent + "note: " + note + "\n")
		}
		if s.Outcome != Failed {
			continue
		}
		b.WriteString(indent + "next: " + s.Next + "\n")
		if s.TrackingID != "" {
			b.WriteString(indent + "tracking id: " + s.TrackingID + "\n")
		}
		b.WriteString(indent + "see: " + s.See + "\n")
	}
	colour := green
	if r.Verdict != Healthy {
		colour = red
	}
	fmt.Fprintf(&b, "  %s", t.paint(colour, string(r.Verdict)))
	if r.Verdict != Healthy {
		fmt.Fprintf(&b, " (exit code %d)", r.ExitCode)
	}
	b.WriteString("\n")
	io.WriteString(t.Out, b.String())
}

// Sum writes the last line where there are several endpoints.
func (t *Table) Sum(r Report) {
	if len(r.Endpoints) < 2 {
		return
	}
	healthy := 0
	for _, e := range r.Endpoints {
		if e.Verdict == Healthy {
			healthy++
		}
	}
	fmt.Fprintf(t.Out, "\n%d of %d endpoints healthy", healthy, len(r.Endpoints))
	if r.Verdict != Healthy {
		fmt.Fprintf(t.Out, "; exit code %d: %s", r.ExitCode, r.Verdict)
	}
	fmt.Fprintln(t.Out)
}

// mark is an outcome, seven columns wide.
func (t *Table) mark(o Outcome) string {
	switch o {
	case OK:
		return t.paint(green, "ok     ")
	case Failed:
		return t.paint(red, "FAIL   ")
	}
	return t.paint(faint, "skipped")
}

// took is a step's time; what took none has none.
func (t *Table) took(s Step) string {
	d := time.Duration(s.Seconds * float64(time.Second))
	switch {
	case d <= 0:
		return ""
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// ECMA-48 §8.3.117.
const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
)

func (t *Table) paint(how, text string) string {
	if !t.Colour {
		return text
	}
	return "\x1b[" + how + "m" + text + "\x1b[0m"
}

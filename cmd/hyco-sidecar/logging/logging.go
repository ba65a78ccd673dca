// Package logging writes the program's log: its format, the advice that warnings
// carry, and the last line of a process that panics.
package logging

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// New returns a logger that writes lines of level and above to w, in the format
// "text" or "json", or with "auto" as text if w is a terminal and as JSON
// otherwise. Warnings and errors also say what to do and where they are explained.
func New(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" || format == "auto" && IsTerminal(w) {
		return slog.New(&docLinkHandler{Handler: slog.NewTextHandler(w, options)})
	}
	return slog.New(&docLinkHandler{Handler: slog.NewJSONHandler(w, options)})
}

// IsTerminal reports whether a person reads what is written to w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

package main

import (
	"io"
	"log/slog"
	"os"

	"hyco-sidecar/config"
)

// newLogger writes to w as cfg says. Warnings and errors also tell where they are
// explained.
func newLogger(w io.Writer, cfg config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "text" || cfg.LogFormat == "auto" && isTerminal(w) {
		return slog.New(&seeing{Handler: slog.NewTextHandler(w, options)})
	}
	return slog.New(&seeing{Handler: slog.NewJSONHandler(w, options)})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

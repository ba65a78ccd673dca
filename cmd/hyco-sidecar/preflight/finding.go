package preflight

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/advice"
)

// Levels of findings.
const (
	levelOK      = "ok"
	levelWarning = "warning" // may be meant so
	levelError   = "error"   // something will not work
)

func severity(level string) int {
	return slices.Index([]string{levelOK, levelWarning, levelError}, level)
}

func fine(code, text string, args ...any) []admin.Finding {
	return []admin.Finding{{Level: levelOK, Code: code, Text: fmt.Sprintf(text, args...)}}
}

// fault is one finding. Next is what to do; empty means the step that advice has for
// the code.
func fault(level, code, next, text string, args ...any) []admin.Finding {
	return []admin.Finding{{Level: level, Code: code, Text: fmt.Sprintf(text, args...), Next: cmp.Or(next, advice.NextFor(code)), See: advice.See(code)}}
}

// Report writes the one line about what was found.
func Report(ctx context.Context, log *slog.Logger, found []admin.Finding) {
	level, faults, rest := slog.LevelInfo, []string{}, []string{}
	for _, f := range found {
		if f.Level == levelOK {
			rest = append(rest, f.Text)
			continue
		}
		level = slog.LevelWarn
		faults = append(faults, fmt.Sprintf("%s: %s: %s (%s)", f.Code, f.Text, f.Next, f.See))
	}
	log.LogAttrs(ctx, level, "preflight", slog.Any("findings", faults), slog.Any("fine", rest))
}

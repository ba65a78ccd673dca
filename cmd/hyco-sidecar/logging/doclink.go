package logging

import (
	"cmp"
	"context"
	"log/slog"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
)

// docLinkHandler is a slog.Handler that adds to every warning and error, as see,
// where the documentation explains it: by the line's reason, or else its cause, or
// else its message. A line that has a see of its own keeps it.
type docLinkHandler struct {
	slog.Handler
	labels labels
	// Once a group is open, what it was opened on and what was done since: see
	// belongs beside the group, not in it.
	outer slog.Handler
	since []func(slog.Handler) slog.Handler
}

// labels are the attributes that choose the entry.
type labels struct{ see, reason, cause string }

func (l *labels) note(a slog.Attr) {
	into := (*string)(nil)
	switch a.Key {
	case "see":
		into = &l.see
	case "reason":
		into = &l.reason
	case "cause":
		into = &l.cause
	default:
		return
	}
	*into = a.Value.Resolve().String()
}

// Handle implements [slog.Handler].
func (h *docLinkHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	return h.explain(ctx, r)
}

func (h *docLinkHandler) explain(ctx context.Context, r slog.Record) error {
	l := h.labels
	r.Attrs(func(a slog.Attr) bool {
		l.note(a)
		return true
	})
	if l.see != "" {
		return h.Handler.Handle(ctx, r)
	}
	see := slog.String("see", advice.See(cmp.Or(l.reason, l.cause, advice.Anchor(r.Message))))
	if h.outer == nil {
		r = r.Clone()
		r.AddAttrs(see)
		return h.Handler.Handle(ctx, r)
	}
	beside := h.outer.WithAttrs([]slog.Attr{see})
	for _, do := range h.since {
		beside = do(beside)
	}
	return beside.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *docLinkHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.labels.note(a)
	}
	c.Handler = h.Handler.WithAttrs(attrs)
	if h.outer != nil {
		c.since = append(h.since[:len(h.since):len(h.since)], func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
	}
	return &c
}

// WithGroup implements [slog.Handler].
func (h *docLinkHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.Handler = h.Handler.WithGroup(name)
	if h.outer == nil {
		c.outer = h.Handler
	}
	c.since = append(h.since[:len(h.since):len(h.since)], func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
	return &c
}

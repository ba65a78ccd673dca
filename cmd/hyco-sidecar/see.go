package main

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"unicode"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
)

// seeing is a slog.Handler that tells with every warning and error where the
// documentation explains it: by its reason, or else its cause, or else by the
// message. A line that has a see of its own keeps it.
type seeing struct {
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
func (s *seeing) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return s.Handler.Handle(ctx, r)
	}
	return s.explain(ctx, r)
}

func (s *seeing) explain(ctx context.Context, r slog.Record) error {
	l := s.labels
	r.Attrs(func(a slog.Attr) bool {
		l.note(a)
		return true
	})
	if l.see != "" {
		return s.Handler.Handle(ctx, r)
	}
	see := slog.String("see", admin.See(cmp.Or(l.reason, l.cause, anchor(r.Message))))
	if s.outer == nil {
		r = r.Clone()
		r.AddAttrs(see)
		return s.Handler.Handle(ctx, r)
	}
	h := s.outer.WithAttrs([]slog.Attr{see})
	for _, do := range s.since {
		h = do(h)
	}
	return h.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (s *seeing) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *s
	for _, a := range attrs {
		c.labels.note(a)
	}
	c.Handler = s.Handler.WithAttrs(attrs)
	if s.outer != nil {
		c.since = append(s.since[:len(s.since):len(s.since)], func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
	}
	return &c
}

// WithGroup implements [slog.Handler].
func (s *seeing) WithGroup(name string) slog.Handler {
	if name == "" {
		return s
	}
	c := *s
	c.Handler = s.Handler.WithGroup(name)
	if s.outer == nil {
		c.outer = s.Handler
	}
	c.since = append(s.since[:len(s.since):len(s.since)], func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
	return &c
}

// anchor is the fragment that GitHub makes of a heading: letters in lower case,
// digits, underscores and hyphens stay, spaces become hyphens, the rest goes.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

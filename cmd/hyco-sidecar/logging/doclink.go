package logging

import (
	"context"
	"log/slog"

	"hyco-sidecar/cmd/hyco-sidecar/advice"
)

// docLinkHandler is a slog.Handler that adds to every warning and error what to do,
// as next, and where the documentation explains it, as see. Some lines of other
// levels get a next as well. [advice.ForLine] chooses both by the line's message,
// its attributes reason and cause, and the error in its attribute error. A line
// that has an attribute of that name itself keeps it.
type docLinkHandler struct {
	slog.Handler
	said said
	// Once a group is open, the handler that it was opened on and what was done since:
	// the advice belongs beside the group, not in it.
	outer slog.Handler
	since []func(slog.Handler) slog.Handler
}

// said are the attributes of a line that matter for its advice.
type said struct {
	reason, cause string
	err           error
	next, see     bool // the line has them itself
}

func (s *said) note(a slog.Attr) {
	switch a.Key {
	case "reason":
		s.reason = a.Value.Resolve().String()
	case "cause":
		s.cause = a.Value.Resolve().String()
	case "error":
		s.err, _ = a.Value.Resolve().Any().(error)
	case "next":
		s.next = true
	case "see":
		s.see = true
	}
}

// Handle implements [slog.Handler].
func (h *docLinkHandler) Handle(ctx context.Context, r slog.Record) error {
	if warns := r.Level >= slog.LevelWarn; warns || advice.AtEveryLevel(r.Message) {
		return h.advise(ctx, r, warns)
	}
	return h.Handler.Handle(ctx, r)
}

// advise passes r on with its advice: whole for a line that warns, the next step
// alone for others.
func (h *docLinkHandler) advise(ctx context.Context, r slog.Record, warns bool) error {
	s := h.said
	r.Attrs(func(a slog.Attr) bool {
		s.note(a)
		return true
	})
	var a advice.Advice
	if !returns(func() { a = advice.ForLine(r.Message, s.reason, s.cause, s.err) }) { // asked about err, a nil pointer for example
		a = advice.ForLine(r.Message, s.reason, s.cause, nil)
	}
	add := make([]slog.Attr, 0, 3)
	if a.Next != "" && !s.next {
		add = append(add, slog.String("next", a.Next))
		if a.Otherwise != "" {
			add = append(add, slog.String("otherwise", a.Otherwise))
		}
	}
	if warns && !s.see {
		add = append(add, slog.String("see", a.See))
	}
	if h.outer == nil {
		r = r.Clone()
		r.AddAttrs(add...)
		return h.Handler.Handle(ctx, r)
	}
	beside := h.outer.WithAttrs(add)
	for _, do := range h.since {
		beside = do(beside)
	}
	return beside.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *docLinkHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.said.note(a)
	}
	c.Handler = h.Handler.WithAttrs(attrs)
	if h.outer != nil {
		c.since = append(c.since[:len(c.since):len(c.since)], func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
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
	c.since = append(c.since[:len(c.since):len(c.since)], func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
	return &c
}

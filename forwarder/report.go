package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// announce says that the connection was accepted.
func (c *conn) announce(ctx context.Context) {
	c.Hooks.tellAccepted(c.summary.Target)
	if log := c.logger(); log.Enabled(ctx, slog.LevelDebug) {
		log.LogAttrs(ctx, slog.LevelDebug, "connection accepted", slog.String("endpoint", c.summary.Target),
			slog.String("id", c.summary.ID), slog.String("client", c.app.RemoteAddr().String()))
	}
}

// report says how the connection ended.
func (c *conn) report(ctx context.Context, ended time.Time, v verdict) {
	c.summary.Took = ended.Sub(c.accepted)
	c.summary.Cause, c.summary.Err = v.cause, v.err
	c.log(ctx)
	c.Hooks.tellClosed(c.summary)
}

// log writes the connection's line.
func (c *conn) log(ctx context.Context) {
	s := &c.summary
	level := slog.LevelInfo
	if !s.Cause.orderly() || s.Cause == AppGaveUp && s.Err != nil {
		level = slog.LevelWarn
		if !c.repeats.admit(ctx, failureKind{s.Target, s.Cause, reason(s.Err)}) {
			return
		}
	}
	attrs := []slog.Attr{
		slog.String("endpoint", s.Target),
		slog.String("id", s.ID),
		slog.String("client", c.app.RemoteAddr().String()),
		slog.Int64("up", s.Up),
		slog.Int64("down", s.Down),
		slog.String("dial", s.Dial.Round(10*time.Microsecond).String()),
		slog.String("took", s.Took.Round(10*time.Microsecond).String()),
		slog.String("cause", string(s.Cause)),
	}
	if s.Err != nil {
		attrs = append(attrs, slog.Any("error", s.Err))
		if err, ok := errors.AsType[LogAttrer](s.Err); ok {
			attrs = append(attrs, err.LogAttrs()...)
		}
	}
	c.logger().LogAttrs(ctx, level, "connection closed", attrs...)
}

// reason is the label that err gives itself, if it does.
func reason(err error) string {
	if err, ok := errors.AsType[Reasoner](err); ok {
		return err.Reason()
	}
	return ""
}

package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"hyco-sidecar/relayclient"
)

func TestLinesCarryTheirAdvice(t *testing.T) {
	reason, cause := slog.String("reason", "no_listener"), slog.String("cause", "dial_failed")
	failed := &relayclient.DialError{Entity: "orders-hc", Stage: relayclient.StageUpgrade, Status: 404, Err: relayclient.ErrNoListener}
	const sibling = "an app asked for a name next to a configured one, and no resolver knows it"
	for _, test := range []struct {
		name string
		log  func(*slog.Logger)
		want string // all the line's keys beside time, level and msg, in their order, and the value of see
	}{
		{"by the reason", func(l *slog.Logger) { l.Warn("connection closed", cause, reason) }, "cause reason see=no_listener"},
		{"by the cause", func(l *slog.Logger) { l.Warn("connection closed", cause) }, "cause see=dial_failed"},
		{"a reason that is not known", func(l *slog.Logger) { l.Warn("connection closed", slog.String("reason", ""), cause) }, "reason cause see=dial_failed"},
		{"by the message", func(l *slog.Logger) { l.Error("DNS upstream does not answer", "error", errors.New("EMFILE")) }, "error see=dns-upstream-does-not-answer"},
		{"a message that is not known", func(l *slog.Logger) { l.Error("it broke: twice") }, "see=it-broke-twice"},
		{"with attributes of before", func(l *slog.Logger) { l.With(reason).Warn("connection closed") }, "reason see=no_listener"},
		{"beside a group", func(l *slog.Logger) { l.With("a", 1).WithGroup("g").With("b", 2).Warn("connection closed", cause) }, "a see=dial_failed g"},
		{"in a group in a group", func(l *slog.Logger) { l.WithGroup("g").WithGroup("h").Warn("connection closed", cause) }, "see=dial_failed g"},
		{"one of its own", func(l *slog.Logger) { l.Warn("connection closed", "see", "docs/kubernetes.md") }, "see:docs/kubernetes.md"},
		{"not of what is in order", func(l *slog.Logger) { l.Info("connection closed", cause) }, "cause"},
		{"not of what is in order in a group", func(l *slog.Logger) { l.WithGroup("g").Info("connection closed", cause) }, "g"},

		{"a step by the error", func(l *slog.Logger) { l.Warn("connection closed", cause, slog.Any("error", failed), reason) }, "cause error reason next see=no_listener"},
		{"a step by an error of before", func(l *slog.Logger) { l.With("error", failed).Warn("connection closed", cause) }, "error cause next see=dial_failed"},
		{"a step by the cause", func(l *slog.Logger) { l.Warn("connection closed", "cause", "closed_without_data") }, "cause next see=closed_without_data"},
		{"a step of the message", func(l *slog.Logger) { l.Warn("similar failures suppressed", cause, reason) }, "cause reason next see=no_listener"},
		{"a step of its own", func(l *slog.Logger) { l.Warn("similar failures suppressed", "next", "wait", "count", 1) }, "next count see=similar-failures-suppressed"},
		{"a step and another meaning", func(l *slog.Logger) { l.Warn("no app has asked this resolver for a name since it started") },
			"next otherwise see=no-app-has-asked-this-resolver-for-a-name-since-it-started"},
		{"a step beside a group", func(l *slog.Logger) { l.WithGroup("g").Warn("connection closed", "cause", "closed_without_data") }, "next see=closed_without_data g"},
		{"an error whose methods panic", func(l *slog.Logger) {
			l.Warn("connection closed", cause, slog.Any("error", (*relayclient.DialError)(nil)))
		}, "cause error see=dial_failed"},
		{"a step at level info", func(l *slog.Logger) { l.Info(sibling, "name", "kafka-2.corp.example") }, "name next"},
		{"a step at level info in a group", func(l *slog.Logger) { l.WithGroup("g").Info(sibling, "name", "kafka-2.corp.example") }, "next g"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			test.log(New(&out, slog.LevelInfo, "json"))
			line := keyed(t, out.Bytes())
			var got []string
			for _, attr := range line {
				switch value := strings.Trim(attr.value, `"`); {
				case attr.key == "time" || attr.key == "level" || attr.key == "msg":
				case attr.key != "see":
					got = append(got, attr.key)
				case strings.HasPrefix(value, "docs/troubleshooting.md#"):
					got = append(got, "see="+strings.TrimPrefix(value, "docs/troubleshooting.md#"))
				default:
					got = append(got, "see:"+value)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q from %s; want %q", got, out.String(), test.want)
			}
		})
	}
}

// attr is one of a line of JSON.
type attr struct{ key, value string }

// keyed are a line's attributes, in their order; json.Unmarshal would keep the last
// of several with one key.
func keyed(t *testing.T, line []byte) (attrs []attr) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		attrs = append(attrs, attr{key.(string), string(value)})
	}
	return attrs
}

// BenchmarkConnectionClosed is the line that is written most, in order and not.
func BenchmarkConnectionClosed(b *testing.B) {
	failed := &relayclient.DialError{Entity: "orders-hc", Stage: relayclient.StageUpgrade, Status: 404, Err: relayclient.ErrNoListener}
	for name, line := range map[string]struct {
		level slog.Level
		more  []slog.Attr
	}{
		"info": {slog.LevelInfo, []slog.Attr{slog.String("cause", "closed")}},
		"warn": {slog.LevelWarn, append([]slog.Attr{slog.String("cause", "dial_failed"), slog.Any("error", failed)}, failed.LogAttrs()...)},
	} {
		b.Run(name, func(b *testing.B) {
			log := New(io.Discard, slog.LevelInfo, "json")
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(b.Context(), line.level, "connection closed", append([]slog.Attr{
					slog.String("endpoint", "orders.corp.example:8080"),
					slog.String("id", "30829a3a-1ad3-468a-99b9-cacef56b3115"),
					slog.String("client", "127.0.0.1:51042"),
					slog.Int64("up", 88), slog.Int64("down", 575),
					slog.String("dial", "3.61ms"), slog.String("took", "9.58ms"),
				}, line.more...)...)
			}
		})
	}
}

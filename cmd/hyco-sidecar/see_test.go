package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"hyco-sidecar/config"
)

func TestWarningsTellWhereTheyAreExplained(t *testing.T) {
	reason, cause := slog.String("reason", "no_listener"), slog.String("cause", "dial_failed")
	for _, test := range []struct {
		name string
		log  func(*slog.Logger)
		want string // all the line's keys beside time, level and msg, and the values of see
	}{
		{"by the reason", func(l *slog.Logger) { l.Warn("connection closed", cause, reason) }, "cause reason see=no_listener"},
		{"by the cause", func(l *slog.Logger) { l.Warn("connection closed", cause) }, "cause see=dial_failed"},
		{"a reason that is not known", func(l *slog.Logger) { l.Warn("connection closed", "reason", "", cause) }, "cause reason see=dial_failed"},
		{"by the message", func(l *slog.Logger) { l.Error("accept failed, retrying", "error", errors.New("EMFILE")) }, "error see=accept-failed-retrying"},
		{"with attributes of before", func(l *slog.Logger) { l.With(reason).Warn("connection closed") }, "reason see=no_listener"},
		{"beside a group", func(l *slog.Logger) { l.With("a", 1).WithGroup("g").With("b", 2).Warn("connection closed", cause) }, "a g see=dial_failed"},
		{"in a group in a group", func(l *slog.Logger) { l.WithGroup("g").WithGroup("h").Warn("connection closed", cause) }, "g see=dial_failed"},
		{"one of its own", func(l *slog.Logger) { l.Warn("connection closed", "see", "docs/kubernetes.md") }, "see:docs/kubernetes.md"},
		{"not of what is in order", func(l *slog.Logger) { l.Info("connection closed", cause) }, "cause"},
		{"not of what is in order in a group", func(l *slog.Logger) { l.WithGroup("g").Info("connection closed", cause) }, "g"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			test.log(newLogger(&out, config.Config{LogFormat: "json"}))
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("%q: %v", out.String(), err)
			}
			var got []string
			for _, key := range slices.Sorted(maps.Keys(line)) {
				switch value, _ := line[key].(string); {
				case key == "time" || key == "level" || key == "msg":
				case key != "see":
					got = append(got, key)
				case strings.HasPrefix(value, "docs/troubleshooting.md#"):
					got = append(got, "see="+strings.TrimPrefix(value, "docs/troubleshooting.md#"))
				default:
					got = append(got, "see:"+value)
				}
			}
			if strings.Join(got, " ") != test.want || strings.Count(out.String(), `"see":`) > 1 {
				t.Errorf("got %q from %s; want %q", got, out.String(), test.want)
			}
		})
	}
}

func TestAHeadingsAnchorIsGitHubs(t *testing.T) {
	for heading, want := range map[string]string{
		"accept failed, retrying":                        "accept-failed-retrying",
		"connections have to wait: the limit is reached": "connections-have-to-wait-the-limit-is-reached",
		"DNS queries fail: raise the limit (ulimit -n)":  "dns-queries-fail-raise-the-limit-ulimit--n",
		"`no_listener`": "no_listener",
		"DNS queries are refused: too many wait – upstreams": "dns-queries-are-refused-too-many-wait--upstreams",
		"Überall": "überall",
	} {
		if got := anchor(heading); got != want {
			t.Errorf("%q: got %q, want %q", heading, got, want)
		}
	}
}

package test_test

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryWarningHasAnEntry(t *testing.T) {
	entries := headings(t, "../docs/troubleshooting.md")
	for _, l := range logLines(t) {
		if !l.warns || l.message == "" {
			continue
		}
		if entries[l.message] != anchor(l.message) {
			t.Errorf("%s logs %q: docs/troubleshooting.md needs an entry of that heading", l.path, l.message)
		}
	}
	for _, info := range []string{"an app asked for a name next to a configured one, and no resolver knows it"} {
		if entries[info] == "" {
			t.Errorf("docs/troubleshooting.md needs an entry %q", info)
		}
	}
}

func TestEveryLogKeyIsDocumented(t *testing.T) {
	real := map[string]bool{"time": true, "level": true, "msg": true}
	for _, key := range logKeys(t) {
		real[key] = true
	}
	compare(t, "key", firstColumn(t, "../docs/logs.md", "keys"), real, "docs/logs.md")
}

func TestEveryLogLineIsDocumented(t *testing.T) {
	real := make(map[string]bool)
	for _, l := range logLines(t) {
		if l.message != "" {
			real[l.message] = true
		}
	}
	for _, message := range attemptLines {
		real[message] = true
	}
	compare(t, "line", firstColumn(t, "../docs/logs.md", "lines"), real, "docs/logs.md")
}

// compare reports what is in one of two sets only.
func compare(t *testing.T, kind string, documented, real map[string]bool, where string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(real)) {
		if !documented[name] {
			t.Errorf("%s does not have the %s %q, which the program has", where, kind, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if !real[name] {
			t.Errorf("%s has the %s %q, which the program does not have", where, kind, name)
		}
	}
}

// logLine is one place that logs. The message is empty where it is not a literal.
type logLine struct {
	path, message string
	warns         bool // at level warn or error, or perhaps
}

// leveled are the log's methods that say their level, with the place of the
// message.
var leveled = map[string]struct {
	message int
	warns   bool
}{
	"Debug": {0, false}, "Info": {0, false}, "Warn": {0, true}, "Error": {0, true},
	"DebugContext": {1, false}, "InfoContext": {1, false}, "WarnContext": {1, true}, "ErrorContext": {1, true},
}

// attemptLines are the messages that relayclient chooses between, at level debug.
var attemptLines = []string{"hybrid connection joined", "hybrid connection not joined"}

// logLines finds every place of the program that logs.
func logLines(t *testing.T) []logLine {
	t.Helper()
	var all []logLine
	for _, s := range program(t) {
		for _, d := range s.file.Decls {
			ast.Inspect(d, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				line, at, ok := asLog(call)
				if !ok {
					return true
				}
				line.path = s.path
				line.message, ok = literal(call.Args[at])
				if !ok && line.warns {
					t.Errorf("%s logs a warning whose message is not a literal", s.path)
				}
				all = append(all, line)
				return true
			})
		}
	}
	if len(all) < 20 {
		t.Fatalf("found only %d places that log", len(all))
	}
	return all
}

// asLog reads a call of a log's method, and returns the place of the message.
func asLog(call *ast.CallExpr) (line logLine, message int, ok bool) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return line, 0, false
	}
	name := f.Sel.Name
	if name == "Log" || name == "LogAttrs" {
		if len(call.Args) < 3 {
			return line, 0, false
		}
		level, _ := call.Args[1].(*ast.SelectorExpr)
		line.warns = level == nil || level.Sel.Name != "LevelInfo" && level.Sel.Name != "LevelDebug"
		return line, 2, true
	}
	method, ok := leveled[name]
	if !ok || len(call.Args) <= method.message || method.message == 0 && !isLogger(f.X) {
		return line, 0, false
	}
	line.warns = method.warns
	return line, method.message, true
}

// isLogger tells log.Error("…") from err.Error() and t.Error: loggers are called
// log, Logger or logger().
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.HasPrefix(strings.ToLower(x.Name), "log") || x.Name == "slog"
	case *ast.SelectorExpr:
		return strings.HasPrefix(strings.ToLower(x.Sel.Name), "log")
	case *ast.CallExpr:
		return isLogger(x.Fun)
	}
	return false
}

// spans are the keys that relayclient takes from a list.
var spans = []string{"resolve", "connect", "tls", "upgrade"}

// logKeys finds the keys of all attributes: the first argument of slog.String and
// its like, and every other argument behind a message.
func logKeys(t *testing.T) []string {
	t.Helper()
	all := slices.Clone(spans)
	for _, s := range program(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); ok && isIdent(f.X, "slog") && isAttr(f.Sel.Name) {
				key, ok := literal(call.Args[0])
				switch {
				case ok:
					all = append(all, key)
				case s.path != "relayclient/attempt.go":
					t.Errorf("%s has a log key that is not a literal", s.path)
				}
				return true
			}
			if _, message, ok := asLog(call); ok {
				all = append(all, pairedKeys(call.Args[message+1:])...)
			}
			return true
		})
	}
	return all
}

// pairedKeys are those of key and value, one behind the other. Attributes between
// them are met by themselves.
func pairedKeys(args []ast.Expr) (keys []string) {
	for len(args) > 0 {
		key, ok := literal(args[0])
		if !ok {
			args = args[1:]
			continue
		}
		keys = append(keys, key)
		args = args[min(2, len(args)):]
	}
	return keys
}

func isAttr(name string) bool {
	return slices.Contains([]string{"Any", "Bool", "Duration", "Float64", "Group", "Int", "Int64", "String", "Time", "Uint64"}, name)
}

// firstColumn is what stands in backticks in the first column of the table that
// the comments <!-- name: … --> and <!-- end of name --> enclose.
func firstColumn(t *testing.T, path, name string) map[string]bool {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, path), "<!-- "+name+":")
	table, _, ok2 := strings.Cut(rest, "<!-- end of "+name+" -->")
	if !ok || !ok2 {
		t.Fatalf("%s has no table %s", path, name)
	}
	all := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		if all[m[1]] {
			t.Errorf("%s has %q twice", path, m[1])
		}
		all[m[1]] = true
	}
	return all
}

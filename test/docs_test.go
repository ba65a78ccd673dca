package test_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"hyco-sidecar/cmd/hyco-sidecar/check"
	"hyco-sidecar/config"
)

// preflight are the codes of what is found at the start, beside those that are
// verdicts or reasons as well.
var preflight = []string{
	"resolv_conf_elsewhere", "resolv_conf_more_nameservers", "upstream_loops", "no_upstreams", "proxy_in_use", "port_trap", "port_not_bindable",
}

// orderly are the causes that need nobody's attention; docs/logs.md explains them.
var orderly = []string{"closed", "remote_closed", "app_reset", "app_gave_up", "app_gone"}

func TestEveryLabelHasAnEntry(t *testing.T) {
	entries := headings(t, "../docs/troubleshooting.md")
	have := labels(t)
	for _, label := range slices.Concat(have, verdicts(), preflight) {
		if entries["`"+label+"`"] != label && !slices.Contains(orderly, label) {
			t.Errorf("docs/troubleshooting.md needs an entry with the heading `%s`, and no second one", label)
		}
	}
	for heading := range entries {
		label, isLabel := strings.CutPrefix(heading, "`")
		if label = strings.TrimSuffix(label, "`"); isLabel && !slices.Contains(slices.Concat(have, verdicts(), preflight), label) {
			t.Errorf("docs/troubleshooting.md has an entry for %q, which is no label", label)
		}
	}
	logs := read(t, "../docs/logs.md")
	for _, cause := range have {
		if slices.Contains(orderly, cause) && !strings.Contains(logs, "| `"+cause+"` |") {
			t.Errorf("docs/logs.md does not explain the cause %q", cause)
		}
	}
}

func verdicts() []string {
	var all []string
	for _, v := range check.Verdicts() {
		all = append(all, string(v))
	}
	return all
}

// TestEveryVerdictHasItsRow holds the table of exit codes.
func TestEveryVerdictHasItsRow(t *testing.T) {
	text := read(t, "../docs/cli.md")
	for _, v := range check.Verdicts() {
		if row := fmt.Sprintf("\n| %d | [`%s`](troubleshooting.md#%s) |", v.ExitCode(), v, v); !strings.Contains(text, row) {
			t.Errorf("docs/cli.md has no row that begins %q", row)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(prose(read(t, page)), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
				continue
			}
			if fragment != "" && !slices.Contains(slices.Collect(maps.Values(headings(t, path))), fragment) {
				t.Errorf("%s: the link %s leads to no heading", page, m[1])
			}
		}
	}
}

func TestDocumentedSettingsExist(t *testing.T) {
	known := make(map[string]bool)
	for _, s := range config.Settings() {
		known[s.Name] = true
	}
	variable, index := regexp.MustCompile(`HYCO_[A-Z0-9_]+`), regexp.MustCompile(`_\d+_`)
	for _, page := range pages(t) {
		for _, name := range variable.FindAllString(read(t, page), -1) {
			general := index.ReplaceAllString(name, "_N_")
			// HYCO_CONNECTION_N_… stands for all that begin so.
			begins := strings.HasSuffix(general, "_") && slices.ContainsFunc(slices.Collect(maps.Keys(known)), func(k string) bool { return strings.HasPrefix(k, general) })
			if !known[general] && !begins {
				t.Errorf("%s speaks of %s, which is no setting", page, name)
			}
		}
	}
}

// pages are all that a reader may come to, from this folder.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"../README.md", "../ARCHITECTURE.md", "../CONTRIBUTING.md"}
	for _, root := range []string{"../docs", "../deploy"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".md" {
				all = append(all, path)
			}
			if os.IsNotExist(err) && path == root {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

var (
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	inline   = regexp.MustCompile("`[^`\n]*`")
	markdown = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
	linked   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// prose is a page without code, in which brackets mean something else. What
// stands in backticks inside a link's text goes as well, the link stays.
func prose(page string) string {
	return inline.ReplaceAllString(fenced.ReplaceAllString(page, ""), "")
}

// headings are a page's, with their anchors as GitHub makes them.
func headings(t *testing.T, path string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	if filepath.Ext(path) != ".md" {
		return all
	}
	taken := make(map[string]int)
	for _, m := range markdown.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, path), ""), -1) {
		text := linked.ReplaceAllString(m[1], "$1")
		a := anchor(text)
		if taken[a]++; taken[a] > 1 {
			a += "-" + strconv.Itoa(taken[a]-1)
		}
		all[text] = a
	}
	return all
}

// anchor is GitHub's: lower case, hyphens for spaces, no punctuation.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// program is the code of the sidecar itself.
func program(t *testing.T) []source {
	return slices.DeleteFunc(sources(t), func(s source) bool {
		ours := s.dir == "cmd/hyco-sidecar" || strings.HasPrefix(s.dir, "cmd/hyco-sidecar/") || slices.Contains(libraries, s.dir)
		return s.test || !ours
	})
}

// labels are those that the program's code has: the constants of type Cause, what
// a method Reason or a constant reason… says, what advice.See is asked for, and the
// codes of findings at the start, whose faults cmd/hyco-sidecar makes with fault.
func labels(t *testing.T) []string {
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	var all []string
	note := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if text, ok := literal(n); ok && word.MatchString(text) {
				all = append(all, text)
			}
			return true
		})
	}
	for _, s := range program(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if isIdent(n.Key, "Code") || isIdent(n.Key, "reason") {
					note(n.Value)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "See" && len(n.Args) == 1 {
					note(n.Args[0])
				}
				if isIdent(n.Fun, "fault") && len(n.Args) > 1 {
					note(n.Args[1])
				}
			}
			return true
		})
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "Reason" && d.Recv != nil {
					note(d.Body)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					v, ok := spec.(*ast.ValueSpec)
					if !ok || d.Tok != token.CONST {
						continue
					}
					typed, _ := v.Type.(*ast.Ident)
					if typed != nil && typed.Name == "Cause" || strings.HasPrefix(v.Names[0].Name, "reason") {
						note(v)
					}
				}
			}
		}
	}
	if len(all) < 20 {
		t.Fatalf("found only %q", all)
	}
	return all
}

// literal is the text of a string literal, also of one that is put together.
func literal(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(n.Value)
		return text, n.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		x, ok := literal(n.X)
		y, ok2 := literal(n.Y)
		return x + y, ok && ok2 && n.Op == token.ADD
	}
	return "", false
}

func isIdent(x ast.Expr, name string) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == name
}

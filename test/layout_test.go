// Package test_test keeps the rules of the tree: who imports whom, where each
// library lives, and that the documentation says what the code does.
package test_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hyco-sidecar/config"
)

const module = "hyco-sidecar/"

var update = flag.Bool("update", false, "write generated parts of the documentation")

// homes are the only folders that may import a module outside tests, with the folders
// in them.
var homes = map[string][]string{
	"github.com/caarlos0/env/v11":                               {"config"},
	"github.com/hashicorp/go-multierror":                        {"config", "cmd/hyco-sidecar/sidecar", "cmd/hyco-devrelay"},
	"github.com/miekg/dns":                                      {"dnsproxy", "test/fakedns"},
	"github.com/coder/websocket":                                {"relayclient"},
	"github.com/prometheus/client_golang/prometheus":            {"cmd/hyco-sidecar/admin"},
	"github.com/prometheus/client_golang/prometheus/collectors": {"cmd/hyco-sidecar/admin"},
	"github.com/prometheus/client_golang/prometheus/promhttp":   {"cmd/hyco-sidecar/admin"},
	"github.com/fsnotify/fsnotify":                              {"cmd/hyco-sidecar/secrets"},
	"golang.org/x/sys/unix":                                     {"cmd/hyco-sidecar/kernel", "cmd/hyco-sidecar/capture", "relayclient", "dnsproxy", "test/bench"},
	"golang.org/x/term":                                         {"cmd/hyco-sidecar/logging"},
	"golang.org/x/sync/errgroup":                                {"cmd/hyco-sidecar/sidecar", "cmd/hyco-sidecar/discovery", "cmd/hyco-sidecar/preflight"},
	"golang.org/x/net/ipv4":                                     {"dnsproxy", "test/dnsbench"},
	"golang.org/x/net/ipv6":                                     {"dnsproxy"},
	"golang.org/x/net/proxy":                                    {"relayclient"},
	"golang.org/x/net/dns/dnsmessage":                           {"relayclient", "cmd/hyco-sidecar/check"},
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity":          {"cmd/hyco-sidecar/identity"},
	"github.com/Azure/azure-sdk-for-go/sdk/azcore":              {"cmd/hyco-sidecar/identity"},
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud":        {"cmd/hyco-sidecar/identity"},
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log":          {"cmd/hyco-sidecar/identity"},
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy":       {"cmd/hyco-sidecar/identity"},
	"github.com/golang-jwt/jwt/v5":                              {"test/fakeentra"},
	"github.com/prometheus/procfs":                              {"test/program"},
	"github.com/google/nftables":                                {"cmd/hyco-sidecar/capture"},
	"github.com/google/nftables/binaryutil":                     {"cmd/hyco-sidecar/capture"},
	"github.com/google/nftables/expr":                           {"cmd/hyco-sidecar/capture"},
	"github.com/gobwas/ws":                                      {"test/fakerelay", "test/fakelistener", "test/fakerelay/rawsender", "test/replay"},
}

// libraries never import each other nor the programs: they share only types of the
// standard library.
var libraries = []string{"config", "dnsproxy", "forwarder", "relayclient"}

// within reports whether dir is one of the folders, or a folder in one of them.
func within(dir string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return dir == f || strings.HasPrefix(dir, f+"/") })
}

// libraryOf is the one of libraries that dir belongs to; empty for any other folder.
func libraryOf(dir string) string {
	i := slices.IndexFunc(libraries, func(s string) bool { return within(dir, s) })
	if i < 0 {
		return ""
	}
	return libraries[i]
}

type source struct {
	path string // from the root, with slashes
	dir  string
	test bool
	file *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git"):
			return fs.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		all = append(all, source{name, filepath.ToSlash(filepath.Dir(name)), strings.HasSuffix(name, "_test.go"), file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s source) imports() []string {
	var paths []string
	for _, i := range s.file.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, path := range s.imports() {
			own, ours := strings.CutPrefix(path, module)
			first, _, _ := strings.Cut(path, "/")
			switch {
			case ours && libraryOf(s.dir) != "" && !within(own, libraryOf(s.dir)):
				t.Errorf("%s imports %s: config, dnsproxy, forwarder and relayclient are independent", s.path, path)
			case ours && within(own, "test") && !within(s.dir, "cmd/hyco-devrelay", "test"):
				t.Errorf("%s imports %s: only cmd/hyco-devrelay and tests may", s.path, path)
			case !ours && strings.Contains(first, "."):
				if !within(s.dir, homes[path]...) {
					t.Errorf("%s imports %s, whose home is %v", s.path, path, homes[path])
				}
			}
		}
	}
}

// TestRulesReachSubPackages: a rule about a folder holds for what is in it, and not for
// a folder whose name only begins like that.
func TestRulesReachSubPackages(t *testing.T) {
	for dir, want := range map[string]string{
		"forwarder": "forwarder", "relayclient/internal/frame": "relayclient", "forwarders": "", "cmd/hyco-sidecar/config": "", "test": "",
	} {
		if got := libraryOf(dir); got != want {
			t.Errorf("%s belongs to %q, want %q", dir, got, want)
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// TestNoSleepsOnRealClocks: a test that sleeps is slow and wrong on a busy
// machine; in a synctest bubble it is neither.
func TestNoSleepsOnRealClocks(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test || slices.Contains(s.imports(), "testing/synctest") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" {
					t.Errorf("%s uses time.Sleep without testing/synctest", s.path)
				}
			}
			return true
		})
	}
}

const (
	tableBegin = "<!-- settings: written by `make settings` -->\n"
	tableEnd   = "<!-- end of settings -->\n"
)

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, s := range config.Settings() {
		shown := "–"
		if s.Default != "" {
			shown = "`" + s.Default + "`"
			if strings.Contains(s.Default, " ") {
				shown = s.Default
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, shown, s.Meaning)
	}
	return b.String()
}

func TestReadmeListsTheSettings(t *testing.T) {
	writeBetween(t, "../README.md", tableBegin, tableEnd, settingsTable(), "make settings")
}

func TestOneGoVersion(t *testing.T) {
	mod := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	for _, place := range []struct{ file, pattern string }{
		{"../Dockerfile", `golang:(\d+\.\d+)`},
		{"../README.md", `Go (\d+\.\d+)`},
		{"../.ci/tools.mod", `(?m)^go (\d+\.\d+)`},
		{"../.ci/lint.mod", `(?m)^go (\d+\.\d+)`},
	} {
		found := regexp.MustCompile(place.pattern).FindStringSubmatch(read(t, place.file))
		if found == nil || found[1] != mod[1] {
			t.Errorf("%s names Go %q, go.mod %q", place.file, found, mod[1])
		}
	}
	if strings.Contains(read(t, "../go.mod"), "replace") {
		t.Error("go.mod replaces a module")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

package test_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// sidecar is the program's folder; its packages are the folders in it.
const sidecar = "cmd/hyco-sidecar"

// levels are the module's packages, without test/, from top to bottom. An import
// goes to a lower level, never up and never to a neighbour, so there is no cycle.
// A new package gets its place here.
var levels = [][]string{
	{sidecar, "cmd/hyco-devrelay"},
	{sidecar + "/sidecar"},
	{sidecar + "/preflight", sidecar + "/discovery"},
	{sidecar + "/check"},
	{sidecar + "/admin", sidecar + "/credential", sidecar + "/logging"},
	{sidecar + "/advice", sidecar + "/plan"},
	{sidecar + "/capture", sidecar + "/identity", sidecar + "/kernel", sidecar + "/secrets"},
	{"config", "dnsproxy", "forwarder", "relayclient"},
}

// mainImports are the packages outside its folder that the program's package main may
// import. What the libraries do is the business of the packages in the folder.
var mainImports = []string{"config"}

const (
	pictureBegin = "<!-- packages: written by `make architecture` -->\n"
	pictureEnd   = "<!-- end of packages -->\n"
)

// packages are the module's own, without test/, with what their code for any
// system imports of each other. Folders are named from the root.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, s := range sources(t) {
		if s.test || s.dir == "test" || strings.HasPrefix(s.dir, "test/") {
			continue
		}
		imported := all[s.dir]
		for _, path := range s.imports() {
			own, ours := strings.CutPrefix(path, module)
			if ours && !strings.HasPrefix(own, "test/") && !slices.Contains(imported, own) {
				imported = append(imported, own)
			}
		}
		slices.Sort(imported)
		all[s.dir] = imported
	}
	return all
}

// level counts from 0 at the bottom; -1 means that levels does not have the package.
func level(dir string) int {
	i := slices.IndexFunc(levels, func(l []string) bool { return slices.Contains(l, dir) })
	if i < 0 {
		return -1
	}
	return len(levels) - 1 - i
}

func TestImportsGoDownwards(t *testing.T) {
	all := packages(t)
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		if level(dir) < 0 {
			t.Errorf("%s has no place in levels of test/architecture_test.go: put it below those that import it", dir)
			continue
		}
		for _, imported := range all[dir] {
			if at := level(imported); at >= level(dir) {
				t.Errorf("%s (level %d) imports %s (level %d): an import goes to a lower level", dir, level(dir), imported, at)
			}
		}
	}
	for _, dir := range slices.Concat(levels...) {
		if _, exists := all[dir]; !exists {
			t.Errorf("%s does not exist: remove it from levels", dir)
		}
	}
}

func TestMainImportsOnlyItsPackages(t *testing.T) {
	for _, imported := range packages(t)[sidecar] {
		if !strings.HasPrefix(imported, sidecar+"/") && !slices.Contains(mainImports, imported) {
			t.Errorf("%s imports %s: package main imports the packages below it and %v", sidecar, imported, mainImports)
		}
	}
}

// picture is a line per package, level by level, with what it imports.
func picture(t *testing.T) string {
	all := packages(t)
	width := 0
	for dir := range all {
		width = max(width, len(dir))
	}
	var b strings.Builder
	b.WriteString("```\n")
	for i, l := range levels {
		there := slices.DeleteFunc(slices.Sorted(slices.Values(l)), func(dir string) bool { _, ok := all[dir]; return !ok })
		for _, dir := range there {
			imported := make([]string, len(all[dir]))
			for i, path := range all[dir] {
				imported[i] = strings.TrimPrefix(path, sidecar+"/")
			}
			line := fmt.Sprintf("%d  %-*s  %s", len(levels)-1-i, width, dir, strings.Join(imported, " "))
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	b.WriteString("```\n")
	return b.String()
}

func TestArchitectureHasThePackages(t *testing.T) {
	writeBetween(t, "../ARCHITECTURE.md", pictureBegin, pictureEnd, picture(t), "make architecture")
}

// writeBetween compares what a file has between two markers with want, and writes
// want there with -update.
func writeBetween(t *testing.T, path, begin, end, want, command string) {
	t.Helper()
	before, rest, ok := strings.Cut(read(t, path), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no place for what `%s` writes", path, command)
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != want:
		t.Errorf("%s is not what the code says: run `%s`", path, command)
	}
}

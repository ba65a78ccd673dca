//go:build linux

package world

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hyco-sidecar/test/program"
)

// Set by Main, before any test.
var (
	programs string // the directory of hyco-sidecar and hyco-devrelay, both built with the race detector if the tests are
	lack     string // what this machine lacks for any world; empty when it can make some
)

// Main prepares the machine, runs the tests and returns the exit code: it removes the
// namespaces that a killed run has left, and builds the programs, which it removes in
// the end. Where no world can be made, it runs the tests, which Needs then skips.
func Main(m *testing.M) (code int) {
	code, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

func prepareAndRun(m *testing.M) (code int, err error) {
	if lack = lackForNamespaces(); lack != "" {
		return m.Run(), nil
	}
	if err := removeStaleNamespaces(); err != nil {
		return 0, err
	}
	if programs, err = os.MkdirTemp("", "hyco-e2e-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(programs)
	if err := build(programs, program.RaceDetector()); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func build(dir string, race bool) error {
	return program.Build(context.Background(), dir, race, "hyco-sidecar/cmd/hyco-sidecar", "hyco-sidecar/cmd/hyco-devrelay")
}

// PlainPrograms is the directory of the programs built without the race detector, for
// World.Programs in tests of what it would slow down too much.
func PlainPrograms(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(programs, "plain")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := build(dir, false); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Needs skips the test when this machine lacks the rights for network namespaces or
// one of the tools, which are programs by name, and programs and files by path. With
// CI=true the test fails instead.
func Needs(t *testing.T, tools ...string) {
	t.Helper()
	missing := lack
	for i := 0; missing == "" && i < len(tools); i++ {
		if _, err := exec.LookPath(tools[i]); err != nil {
			if _, err := os.Stat(tools[i]); err != nil {
				missing = tools[i]
			}
		}
	}
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatalf("this machine lacks %s, and CI must run every test", missing)
	default:
		t.Skipf("this machine lacks %s; .ci/install-tools installs what Debian has", missing)
	}
}

// Package e2e_test shows the programs to the users they are for: real, unchanged
// apps in one network namespace, real servers in another, and nothing between
// the two but hyco-sidecar, a stand-in relay and its listeners.
//
// A test names what it needs of the machine and is skipped without it. With
// CI=true a lack is a failure.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
)

// Set by TestMain, before any test.
var (
	programs string // the directory of hyco-sidecar and hyco-devrelay, both built with the race detector if the tests are
	unable   string // what this machine lacks for any test; empty when it can run them
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	code, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func prepareAndRun(m *testing.M) (code int, err error) {
	if unable = lackForNamespaces(); unable != "" {
		return m.Run(), nil
	}
	if err := removeStaleNamespaces(); err != nil {
		return 0, err
	}
	if programs, err = os.MkdirTemp("", "hyco-e2e-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(programs)
	if err := build(programs, "-race="+strconv.FormatBool(raceDetector()), "../../cmd/hyco-sidecar", "../../cmd/hyco-devrelay"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// plainPrograms is where the programs lie that were built without the race
// detector, for tests of what it would slow down too much.
func plainPrograms(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(programs, "plain")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := build(dir, "-race=false", "../../cmd/hyco-sidecar", "../../cmd/hyco-devrelay"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// raceDetector reports whether these tests were built with it.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func build(dir string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", dir + "/"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %v: %w", args, err)
	}
	return nil
}

// needs ends the test when this machine lacks the rights for network
// namespaces or one of the tools: programs, and files by their path.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	missing := unable
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

// lackForNamespaces says why no network namespace can be made, or nothing.
func lackForNamespaces() string {
	if os.Geteuid() != 0 {
		return "root's rights, for network namespaces"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "ip"
	}
	probe := fmt.Sprintf("%s%d-probe", namespacePrefix, os.Getpid())
	if err := ipBatch("netns add "+probe, "netns delete "+probe); err != nil {
		return fmt.Sprintf("network namespaces (%v)", err)
	}
	return ""
}

//go:build linux

package world

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	namespacePrefix = "hyco-e2e-"  // of a network namespace's name; then the test's process id, the world's number, and app or site
	netnsDir        = "/etc/netns" // where ip(8) looks for files that replace those of /etc in a namespace
)

// lackForNamespaces says why no network namespace can be made; empty when one can.
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

// IP runs commands of ip(8) in the namespace.
func (w *World) IP(t testing.TB, ns string, lines ...string) {
	t.Helper()
	if err := ipBatch(append([]string{"-n", ns}, lines...)...); err != nil {
		t.Fatal(err)
	}
}

// SetResolvConf makes text the /etc/resolv.conf of what is started in the namespace
// from now on.
func (w *World) SetResolvConf(t testing.TB, ns, text string) {
	t.Helper()
	dir := filepath.Join(netnsDir, ns)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ipBatch runs commands of ip(8); the first may be its option -n with a name.
func ipBatch(lines ...string) error {
	args := []string{"-batch", "-"}
	if lines[0] == "-n" {
		args = append([]string{"-n", lines[1]}, args...)
		lines = lines[2:]
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(lines, "; "), err, stderr.Bytes())
	}
	return nil
}

// removeNamespace ends who is left in the namespace and removes it.
func removeNamespace(name string) error {
	if out, err := exec.Command("ip", "netns", "pids", name).Output(); err == nil {
		for field := range strings.FieldsSeq(string(out)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
			}
		}
	}
	var err error
	if _, missing := os.Stat("/run/netns/" + name); missing == nil {
		err = ipBatch("netns delete " + name)
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(netnsDir, name)))
}

// removeStaleNamespaces removes what a killed run has left. Namespaces of a
// test that still runs are told by the process id in the name.
func removeStaleNamespaces() error {
	stale := make(map[string]bool)
	for _, dir := range []string{"/run/netns", netnsDir} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			rest, ours := strings.CutPrefix(entry.Name(), namespacePrefix)
			pid, _, _ := strings.Cut(rest, "-")
			// A process that has ended but has not been waited for has no exe.
			if _, err := os.Readlink("/proc/" + pid + "/exe"); ours && err != nil {
				stale[entry.Name()] = true
			}
		}
	}
	var errs []error
	for name := range stale {
		errs = append(errs, removeNamespace(name))
	}
	return errors.Join(errs...)
}

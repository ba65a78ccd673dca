package e2e_test

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
	"sync/atomic"
	"syscall"
	"testing"
)

// The two ends of the only wire between app and site. Namespaces are private,
// so every world may use the same addresses.
const (
	appAddress  = "10.213.0.1"
	siteAddress = "10.213.0.2"
)

const (
	namespacePrefix = "hyco-e2e-" // then the test's process id, the world's number, and app or site
	netnsDir        = "/etc/netns"
)

var worlds atomic.Int64

// world is two machines on one wire: app, where the apps and the sidecar run,
// and site, the private network with the relay beside it. Private servers
// listen on 127.0.0.x of site, where only the tunnel reaches them.
type world struct {
	app, site string   // names of the network namespaces
	dir       string   // everybody may read it; gone with the world
	programs  string   // where hyco-sidecar and hyco-devrelay are taken from
	env       []string // of these two, besides what they are given
	dns       *process // the DNS server of site
	processes []*process
}

// newWorld makes the namespaces and the DNS server of site, which knows the
// relays' names and www.example. They end with the test.
func newWorld(t *testing.T) *world {
	t.Helper()
	name := fmt.Sprintf("%s%d-%d", namespacePrefix, os.Getpid(), worlds.Add(1))
	w := &world{app: name + "-app", site: name + "-site", dir: t.TempDir(), programs: programs}
	t.Cleanup(func() { w.close(t) })
	// TempDir makes w.dir in a directory of root's alone, but PostgreSQL, which
	// is not root, has its data here.
	if err := os.Chmod(filepath.Dir(w.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for ns, nameserver := range map[string]string{w.app: "127.0.0.1", w.site: siteAddress} {
		dir := filepath.Join(netnsDir, ns)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := "nameserver " + nameserver + "\n"
		if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := ipBatch(
		"netns add "+w.app,
		"netns add "+w.site,
		"link add eth0 netns "+w.app+" type veth peer name eth0 netns "+w.site,
	); err != nil {
		t.Fatal(err)
	}
	for ns, address := range map[string]string{w.app: appAddress, w.site: siteAddress} {
		if err := ipBatch("-n", ns,
			"link set lo up",
			"link set eth0 up",
			"address add "+address+"/30 dev eth0",
		); err != nil {
			t.Fatal(err)
		}
	}
	w.dns = w.serve(t, w.site, "dns", siteAddress+":53",
		"contoso.servicebus.example="+siteAddress,
		"fabrikam.servicebus.example="+siteAddress,
		"northwind.servicebus.example="+siteAddress,
		"login.contoso.example="+siteAddress,
		"example.com="+siteAddress, // the name on httptest's certificate
		"www.example=192.0.2.80")
	return w
}

func (w *world) close(t *testing.T) {
	for i := len(w.processes) - 1; i >= 0; i-- {
		p := w.processes[i]
		p.end(syscall.SIGTERM)
		switch stderr := p.stderr.String(); {
		case strings.Contains(stderr, "DATA RACE"), strings.Contains(stderr, "panic:"), strings.Contains(stderr, "program panicked"):
			t.Errorf("%s: race or panic\n%s", p.name, stderr)
		case t.Failed() && stderr != "":
			t.Logf("%s said:\n%s", p.name, tail(stderr))
		}
	}
	if err := errors.Join(removeNamespace(w.app), removeNamespace(w.site)); err != nil {
		t.Error(err)
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

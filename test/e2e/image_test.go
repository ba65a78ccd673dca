//go:build linux

package e2e_test

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// TestImageNeedsNothing runs the binary as the image does: static, alone on a
// read-only root, as uid 65532 without capabilities, in a namespace where
// anybody may bind port 53.
func TestImageNeedsNothing(t *testing.T) {
	world.Needs(t, "curl", "unshare", "setpriv", "chroot", "mount", "sysctl")
	w := world.New(t)
	root := filepath.Join(w.Dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	buildStatic(t, root)

	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:80@127.0.0.2:18080")
	roots, err := os.ReadFile(relay.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"ca.pem":          string(roots),
		"etc/resolv.conf": "nameserver 127.0.0.1\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, root)
	w.MustRun(t, w.App, world.Command{}, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")
	// As the image's runtime does, the root is read-only for this process alone.
	const enter = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
		exec setpriv --no-new-privs --inh-caps=-all chroot --userspec=65532:65532 --groups= "$1" /hyco-sidecar "$2"`
	inImage := func(subcommand string) []string {
		return []string{"unshare", "-m", "sh", "-c", enter, "sh", root, subcommand}
	}
	settings := world.SidecarEnvironment([]string{
		"HYCO_CA_FILE=/ca.pem",
		"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:80",
		"HYCO_CONNECTION_0_CONNECTION_STRING=" + relay.Connections[0].Sender,
	})

	if got := w.MustRun(t, w.App, world.Command{}, inImage("version")...); !strings.Contains(got, "hyco-sidecar") {
		t.Errorf("version: %q", got)
	}
	if got := w.MustRun(t, w.App, world.Command{Env: settings}, inImage("config")...); !strings.Contains(got, "orders.corp.example") {
		t.Errorf("config: %q", got)
	}
	s := &world.Sidecar{Process: w.Start(t, w.App, "hyco-sidecar in its image", settings, inImage("run")...)}
	s.AwaitReady(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65532\t65532", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("not %q:\n%s", want, status)
		}
	}
	const want = "the orders of contoso\n"
	if got := w.Curl(t, "http://orders.corp.example/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
	if got := openedForWriting(t, s.Process); len(got) > 0 {
		t.Errorf("files open for writing: %v", got)
	}
	if code := s.Stop(t, world.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if diff := world.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("the file system before (-) and after (+):\n%s", diff)
	}
}

// buildStatic builds hyco-sidecar into dir with the Dockerfile's own command, and
// makes sure that it asks for no loader and no library.
func buildStatic(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(dir, "hyco-sidecar")
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nFROM scratch AS hyco-sidecar\n", "\nUSER 65532:65532\n", "\nENTRYPOINT [\"/hyco-sidecar\"]\n"} {
		if !strings.Contains(string(dockerfile), want) {
			t.Errorf("the Dockerfile has no line %q", strings.TrimSpace(want))
		}
	}
	build := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 .*go build .*) -o /hyco-sidecar (\./cmd/hyco-sidecar)$`).FindSubmatch(dockerfile)
	if build == nil {
		t.Fatal("the Dockerfile does not build the program as this test expects")
	}
	cmd := exec.Command("sh", "-c", fmt.Sprintf("%s -o '%s' %s", build[1], file, build[2]))
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	program, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the binary asks for a loader")
		}
	}
	if libraries, err := program.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the binary asks for libraries %v (%v)", libraries, err)
	}
}

// tree is every path under dir with its mode and time of change.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// openedForWriting is the files that the process may write to.
func openedForWriting(t *testing.T, p *world.Process) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.PID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var writable []string
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		link, err := os.Lstat(path)
		if err != nil {
			continue // closed meanwhile
		}
		// Sockets, pipes and pollers have no path.
		name, err := os.Readlink(path)
		if err == nil && strings.HasPrefix(name, "/") && name != os.DevNull && link.Mode().Perm()&0o200 != 0 {
			writable = append(writable, name)
		}
	}
	return writable
}

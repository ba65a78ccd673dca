package manifests_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"hyco-sidecar/test/program"
)

// outsideRelay is devrelay's address in the network outside. In the network
// private everybody is on the loopback of a namespace of its own, which nobody
// else reaches.
const (
	outsideSidecar = "10.214.0.1"
	outsideRelay   = "10.214.0.2"
)

// engine is two network namespaces, a folder for the containers, and the
// programs. It ends with the test.
type engine struct {
	outside, private string
	dir              string
	containers       []*container
}

// container is a running service.
type container struct {
	service types.ServiceConfig
	netns   string
	root    string
	volumes map[string]string // target → folder
	uid     string
	process *program.Process
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	for _, tool := range []string{"ip", "unshare", "chroot", "mount", "busybox", "sysctl"} {
		if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
			missing(t, "root and "+tool)
		}
	}
	name := fmt.Sprintf("hyco-mf-%d", os.Getpid())
	w := &engine{outside: name + "-outside", private: name + "-private", dir: t.TempDir()}
	for dir := w.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // users of the containers pass through
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { w.close(t) })
	w.ip(t, "netns", "add", w.outside)
	w.ip(t, "netns", "add", w.private)
	w.ip(t, "link", "add", "eth0", "netns", w.outside, "type", "veth", "peer", "name", "eth0", "netns", w.private)
	for ns, address := range map[string]string{w.outside: outsideSidecar, w.private: outsideRelay} {
		w.ip(t, "-n", ns, "link", "set", "lo", "up")
		w.ip(t, "-n", ns, "link", "set", "eth0", "up")
		w.ip(t, "-n", ns, "address", "add", address+"/30", "dev", "eth0")
		// As Docker does for its networks.
		w.ip(t, "netns", "exec", ns, "sysctl", "-q", "-w", "net.ipv4.ip_unprivileged_port_start=0")
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(w.dir, "bin")+"/", "./cmd/...")
	build.Dir = "../.." // with the versions of the program's own go.mod
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.dns(t, w.outside, "devrelay="+outsideRelay, "hyco-sidecar="+outsideSidecar)
	w.dns(t, w.private, "orders=127.0.0.1", "devrelay="+outsideRelay)
	return w
}

// missing skips a test, except where nothing may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this machine lacks %s", what)
	}
	t.Skipf("this machine lacks %s", what)
}

func (w *engine) ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

func (w *engine) close(t *testing.T) {
	for _, ns := range []string{w.outside, w.private} { // the shell's children as well
		pids, _ := exec.Command("ip", "netns", "pids", ns).Output() // none without the namespace
		for pid := range strings.FieldsSeq(string(pids)) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended meanwhile
			}
		}
	}
	for _, c := range slices.Backward(w.containers) {
		_, _ = c.process.Stop(syscall.SIGKILL, 10*time.Second) // it may have ended
		if t.Failed() {
			t.Logf("%s said:\n%s%s", c.service.Name, c.process.Stdout.Tail(2000), c.process.Stderr.Tail(4000))
		}
	}
	for _, ns := range []string{w.outside, w.private} {
		if _, err := os.Stat("/run/netns/" + ns); err == nil {
			w.ip(t, "netns", "delete", ns)
		}
	}
}

// dns starts Docker's resolver in a namespace; it ends with the namespace's test.
func (w *engine) dns(t *testing.T, ns string, names ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Start(program.Command{
		Path: "/usr/bin/env",
		Args: append([]string{"ip", "netns", "exec", ns, self, "127.0.0.11:53"}, names...),
		Env:  []string{"PATH=" + os.Getenv("PATH"), dnsRole + "=true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.containers = append(w.containers, &container{service: types.ServiceConfig{Name: "dns " + ns}, process: p})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := p.Await(ctx, &p.Stdout, "listening"); err != nil {
		t.Fatal(err)
	}
}

// start makes a service's root folder and starts its command there.
func (w *engine) start(t *testing.T, p *types.Project, name string) *container {
	t.Helper()
	s := p.Services[name]
	c := &container{service: s, netns: w.private, root: filepath.Join(w.dir, "root", name), volumes: make(map[string]string), uid: "0:0"}
	if _, outside := s.Networks["outside"]; outside && name != "devrelay" || s.NetworkMode != "" {
		c.netns = w.outside
	}
	if s.Build != nil { // an image of ours
		c.uid = "65532:65532"
		copyFile(t, filepath.Join(w.dir, "bin", s.Build.Target), filepath.Join(c.root, s.Build.Target), 0o755)
	}
	c.file(t, resolvConf, "nameserver 127.0.0.11\noptions ndots:0\n")
	for _, v := range s.Volumes {
		switch v.Type {
		case types.VolumeTypeBind:
			c.file(t, v.Target, read(t, v.Source))
		case types.VolumeTypeVolume:
			c.volumes[v.Target] = filepath.Join(w.dir, "volume", v.Source)
			makeFolder(t, c.volumes[v.Target], 65532)
			makeFolder(t, filepath.Join(c.root, v.Target), 0)
		}
	}
	for _, from := range s.Secrets {
		c.file(t, "/run/secrets/"+from.Source, read(t, p.Secrets[from.Source].File))
	}
	for _, from := range s.Configs {
		c.file(t, from.Target, p.Configs[from.Source].Content)
	}
	for _, dir := range []string{"proc", "dev"} {
		makeFolder(t, filepath.Join(c.root, dir), 0)
	}
	if name != "hyco-sidecar" { // whose image is empty otherwise
		c.busybox(t)
	}

	argv := []string(s.Command)
	if s.Build != nil {
		argv = append([]string{"/" + s.Build.Target}, argv...)
	}
	process, err := program.Start(c.command(argv))
	if err != nil {
		t.Fatal(err)
	}
	c.process = process
	w.containers = append(w.containers, c)
	return c
}

// prepare makes a container of the folder $1 and becomes, as the user $2, the
// command after --. Between them stand ro or rw and the volumes, each as target and
// folder.
const prepare = `set -e
root=$1; user=$2; access=$3; shift 3
mount --bind "$root" "$root"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
for dir in /lib /lib64; do # for busybox
    if [ -d "$root$dir" ] && [ -d "$dir" ]; then mount --bind "$dir" "$root$dir"; fi
done
while [ "$1" != -- ]; do mount --bind "$2" "$root$1"; shift 2; done
shift
mount -o "remount,bind,$access" "$root"
exec env PATH=/bin "$(command -v chroot)" --groups= --userspec="$user" "$root" "$@"`

// command runs argv in the container. Every program on the way becomes the next
// one, so that signals reach the last.
func (c *container) command(argv []string) program.Command {
	access := "rw"
	if c.service.ReadOnly {
		access = "ro"
	}
	args := []string{"ip", "netns", "exec", c.netns, "unshare", "--mount", "/bin/sh", "-c", prepare, "sh", c.root, c.uid, access}
	for target, folder := range c.volumes {
		args = append(args, target, folder)
	}
	args = append(append(args, "--"), argv...)
	return program.Command{Path: "/usr/bin/env", Args: args, Env: append(serviceEnvironment(c.service), "PATH="+os.Getenv("PATH"))}
}

// exec is `docker compose exec`: what argv prints, and its exit code.
func (c *container) exec(ctx context.Context, t *testing.T, argv []string) (string, int) {
	t.Helper()
	command := c.command(argv)
	cmd := exec.CommandContext(ctx, command.Path, command.Args...)
	cmd.Env = command.Env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) && ctx.Err() == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (c *container) file(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(c.root, path)
	makeFolder(t, filepath.Dir(path), 0)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// busybox puts its programs into the container. Those that the example calls are
// taken from the path; the libraries are the machine's.
func (c *container) busybox(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	copyFile(t, path, filepath.Join(c.root, "bin", "busybox"), 0o755)
	for _, applet := range []string{"grep", "httpd", "netstat", "nslookup", "sh", "sleep", "wget"} {
		if err := os.Symlink("busybox", filepath.Join(c.root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"lib", "lib64"} {
		makeFolder(t, filepath.Join(c.root, dir), 0)
	}
}

func makeFolder(t *testing.T, dir string, owner int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if owner != 0 {
		if err := os.Chown(dir, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	makeFolder(t, filepath.Dir(to), 0)
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		t.Fatal(err)
	}
}

//go:build linux

package world

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Hyco runs hyco-sidecar in app with args and the environment of a sidecar with
// these settings, to its end.
func (w *World) Hyco(t testing.TB, settings []string, args ...string) Result {
	t.Helper()
	return w.Run(t, w.App, Command{Env: SidecarEnvironment(settings)}, append([]string{w.Program("hyco-sidecar")}, args...)...)
}

// MustHyco is Hyco for what has to succeed; it returns what was printed on stdout.
func (w *World) MustHyco(t testing.TB, settings []string, args ...string) string {
	t.Helper()
	return w.MustRun(t, w.App, Command{Env: SidecarEnvironment(settings)}, append([]string{w.Program("hyco-sidecar")}, args...)...)
}

// Config is what `hyco-sidecar config` prints for the settings.
func (w *World) Config(t testing.TB, settings []string, args ...string) string {
	t.Helper()
	return w.MustHyco(t, settings, append([]string{"config"}, args...)...)
}

// StandIn is the loopback address that an app gets for a name of ours.
func (w *World) StandIn(t testing.TB, settings []string, name string) string {
	t.Helper()
	for line := range strings.Lines(w.Config(t, settings, "--hosts")) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == name {
			return fields[0]
		}
	}
	t.Fatalf("config --hosts has no line for %s", name)
	return ""
}

// Nameservers for StartCheck.
const (
	OurResolver  = "127.0.0.1" // the sidecar
	SiteResolver = SiteAddress // the DNS server of site
)

// BindResolvConf is a shell's command: it makes the file named first the
// /etc/resolv.conf of a mount namespace, and becomes the program named next.
const BindResolvConf = `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`

// StartCheck starts `hyco-sidecar check` in app, whose /etc/resolv.conf names
// nameserver.
func (w *World) StartCheck(t testing.TB, settings []string, nameserver string, args ...string) *Process {
	t.Helper()
	file := filepath.Join(w.Dir, "resolv.conf."+nameserver)
	if err := os.WriteFile(file, []byte("nameserver "+nameserver+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	argv := append([]string{"unshare", "-m", "sh", "-c", BindResolvConf, "sh", file, w.Program("hyco-sidecar"), "check"}, args...)
	return w.Start(t, w.App, fmt.Sprint("check ", args), SidecarEnvironment(settings), argv...)
}

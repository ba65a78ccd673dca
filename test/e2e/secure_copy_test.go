//go:build linux

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// secureCopyWorks moves 100 MB each way over ssh.
func secureCopyWorks(t *testing.T, w *world.World) {
	world.Needs(t, "/usr/sbin/sshd", "ssh", "scp", "ssh-keygen")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, key := range []string{"host", "user"} {
		w.MustRun(t, w.Site, world.Command{}, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", file(key))
	}
	user, err := os.ReadFile(file("user.pub"))
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.ReadFile(file("host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 100 << 20
	var content bytes.Buffer
	if _, err := io.CopyN(&content, role.Pattern(0), size); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"authorized_keys": user,
		"known_hosts":     append([]byte("files.corp.example "), host...),
		"there":           content.Bytes(),
		"sshd_config": fmt.Appendf(nil, `ListenAddress 127.0.0.5:10022
HostKey %s
AuthorizedKeysFile %s
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
`, file("host"), file("authorized_keys")),
	} {
		if err := os.WriteFile(file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// sshd's privilege separation insists on this directory.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	server := w.Start(t, w.Site, "sshd", nil, "/usr/sbin/sshd", "-D", "-e", "-f", file("sshd_config"))
	server.Await(t, &server.Stderr, world.Patience, "listening", func(text string) bool {
		return strings.Contains(text, "Server listening")
	})

	scp := func(from, to string) {
		t.Helper()
		w.MustRun(t, w.App, world.Command{}, "scp", "-q", "-F", "none", "-i", file("user"), "-o", "BatchMode=yes",
			"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+file("known_hosts"), from, to)
	}
	scp(file("there"), "root@files.corp.example:"+file("copied"))
	scp("root@files.corp.example:"+file("copied"), file("back"))
	want := role.Sum(content.Bytes())
	for _, name := range []string{"copied", "back"} {
		data, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := role.Sum(data); got != want {
			t.Errorf("%s: %d bytes with SHA-256 %s, want %d with %s", name, len(data), got, size, want)
		}
	}
}

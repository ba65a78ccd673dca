//go:build linux

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

const postgresPrograms = "/usr/lib/postgresql/15/bin/"

// postgresWorks dumps and restores 50 MB of a real database through the tunnel.
func postgresWorks(t *testing.T, w *world.World) {
	world.Needs(t, postgresPrograms+"initdb", postgresPrograms+"postgres", "psql", "pg_dump", "setpriv")
	startPostgres(t, w)
	psql := func(database string, args ...string) string {
		t.Helper()
		argv := append([]string{"psql", "-h", "sql01.corp.example", "-U", "postgres", "-X", "-qAt", "-v", "ON_ERROR_STOP=1", database}, args...)
		return w.MustRun(t, w.App, world.Command{}, argv...)
	}

	if got := psql("postgres", "-c", "show server_version"); !strings.HasPrefix(got, "15.") {
		t.Errorf("server_version: got %q, want 15", got)
	}
	psql("postgres", "-c", "create database source", "-c", "create database copy")
	// 100,000 rows of 512 characters, which is too short to be compressed.
	psql("source", "-c", `create table orders as
		select i as id, repeat(md5(i::text), 16) as note from generate_series(1, 100000) as i`)

	dump := filepath.Join(w.Dir, "orders.sql")
	w.MustRun(t, w.App, world.Command{}, "pg_dump", "-h", "sql01.corp.example", "-U", "postgres", "-f", dump, "source")
	info, err := os.Stat(dump)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() < 50e6 {
		t.Fatalf("the dump has %d bytes, want more than 50 MB", info.Size())
	}
	psql("copy", "-f", dump)

	const digest = "select count(*), md5(string_agg(md5(o::text), '' order by id)) from orders as o"
	want, got := psql("source", "-c", digest), psql("copy", "-c", digest)
	if got != want || !strings.HasPrefix(got, "100000|") {
		t.Errorf("restored: got %q, want %q", got, want)
	}
}

// startPostgres runs a new cluster on 127.0.0.4:15432 in site; it refuses to
// run as root.
func startPostgres(t *testing.T, w *world.World) {
	t.Helper()
	as := []string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"}
	dir := filepath.Join(w.Dir, "postgres")
	w.MustRun(t, w.Site, world.Command{}, "install", "-d", "-o", "postgres", "-g", "postgres", dir)
	data := filepath.Join(dir, "data")
	w.MustRun(t, w.Site, world.Command{}, append(as, postgresPrograms+"initdb", "-D", data,
		"-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync")...)
	server := w.Start(t, w.Site, "postgres", nil, append(as, postgresPrograms+"postgres", "-D", data,
		"-c", "listen_addresses=127.0.0.4", "-c", "port=15432", "-c", "unix_socket_directories="+dir,
		"-c", "fsync=off", "-c", "max_wal_size=2GB")...)
	// SIGTERM would wait for sessions to end.
	t.Cleanup(func() { server.End(syscall.SIGINT) })
	server.Await(t, &server.Stderr, world.Patience, "ready", func(text string) bool {
		return strings.Contains(text, "ready to accept connections")
	})
}

//go:build linux

// Package world is the harness of the end-to-end tests. A World is two machines on
// one wire, made of Linux network namespaces: app, where the apps and the sidecar
// run, and site, the private network with the relay beside it. Only the tunnel leads
// from the apps to the servers of the private network.
//
//	w := world.New(t)
//	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
//	relay := w.Relay(t, world.Contoso, "orders-hc=orders.corp.example:8080@127.0.0.2:18080")
//	s := w.Sidecar(t, w.Settings(t, relay.Connections, relay.CAFile)...)
//	got := w.Curl(t, "http://orders.corp.example:8080/")
//	s.AwaitClosed(t, "orders.corp.example:8080", 1)
//
// # Who starts and who ends
//
// Main, called by TestMain, builds the programs once. New makes a world and ends it
// with its test. What is started in a world (Start, Role, Serve, Relay, Sidecar,
// Client, Crowd …) is ended with it, the last first: asked with SIGTERM, killed after
// ten seconds, and its namespaces removed with whoever is left in them. A test may
// end a process before. Run waits for what it runs. A test binary that is killed
// takes all with it, but for the namespaces, which the next run removes.
//
// A test fails when anything that it started panics or has a data race.
//
// Every wait is bounded, as a rule by Patience, and every helper that takes a
// testing.TB ends the test when it fails. Helpers that start something are for the
// test's own goroutine.
package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"hyco-sidecar/test/program"
)

// The two ends of the only wire between app and site. Namespaces are private, so
// every world has the same addresses.
const (
	AppAddress  = "10.213.0.1"
	SiteAddress = "10.213.0.2"
)

var worlds atomic.Int64

// World is two machines on one wire. Servers of the private network listen on
// 127.0.0.x of site, where only the tunnel reaches them.
type World struct {
	App, Site string   // names of the network namespaces
	Dir       string   // a directory that everybody may read; gone with the world
	Programs  string   // where hyco-sidecar and hyco-devrelay are taken from
	Env       []string // of these two, besides what they are given
	DNS       *Process // the DNS server of site, role "dns"

	processes []*program.Process
}

// New makes the namespaces and the DNS server of site, which knows the relays' names,
// login.contoso.example, example.com and www.example. They end with the test.
func New(t *testing.T) *World {
	t.Helper()
	name := fmt.Sprintf("%s%d-%d", namespacePrefix, os.Getpid(), worlds.Add(1))
	w := &World{App: name + "-app", Site: name + "-site", Dir: t.TempDir(), Programs: programs}
	t.Cleanup(func() { w.close(t) })
	// TempDir makes w.dir in a directory of root's alone, but PostgreSQL, which
	// is not root, has its data here.
	if err := os.Chmod(filepath.Dir(w.Dir), 0o755); err != nil {
		t.Fatal(err)
	}
	w.SetResolvConf(t, w.App, "nameserver "+OurResolver+"\n")
	w.SetResolvConf(t, w.Site, "nameserver "+SiteResolver+"\n")
	if err := ipBatch(
		"netns add "+w.App,
		"netns add "+w.Site,
		"link add eth0 netns "+w.App+" type veth peer name eth0 netns "+w.Site,
	); err != nil {
		t.Fatal(err)
	}
	for ns, address := range map[string]string{w.App: AppAddress, w.Site: SiteAddress} {
		w.IP(t, ns, "link set lo up", "link set eth0 up", "address add "+address+"/30 dev eth0")
	}
	w.DNS = w.Serve(t, w.Site, "dns", SiteAddress+":53",
		"contoso.servicebus.example="+SiteAddress,
		"fabrikam.servicebus.example="+SiteAddress,
		"northwind.servicebus.example="+SiteAddress,
		"login.contoso.example="+SiteAddress,
		"example.com="+SiteAddress, // the name on httptest's certificate
		"www.example=192.0.2.80")
	return w
}

func (w *World) close(t *testing.T) {
	for _, p := range slices.Backward(w.processes) {
		end(p, syscall.SIGTERM)
		switch stderr := p.Stderr.String(); {
		case strings.Contains(stderr, "DATA RACE"), strings.Contains(stderr, "panic:"), strings.Contains(stderr, "program panicked"):
			t.Errorf("%s: race or panic\n%s", p.Name(), stderr)
		case t.Failed() && stderr != "":
			t.Logf("%s said:\n%s", p.Name(), Tail(stderr))
		}
	}
	if err := errors.Join(removeNamespace(w.App), removeNamespace(w.Site)); err != nil {
		t.Error(err)
	}
}

// Program is the path of hyco-sidecar or hyco-devrelay.
func (w *World) Program(name string) string { return filepath.Join(w.Programs, name) }

package e2e_test

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// proc is a file of the process in /proc.
func (p *process) proc(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// descriptors is how many files and sockets the process has open.
func descriptors(t testing.TB, p *process) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// resident is the process's memory in KiB, proc_pid_status(5).
func (p *process) resident(t testing.TB) int {
	t.Helper()
	for line := range strings.Lines(p.proc(t, "status")) {
		if fields := strings.Fields(line); fields[0] == "VmRSS:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatalf("%s has no memory", p.name)
	return 0
}

// cpu is the time that the process has computed, proc_pid_stat(5).
func (p *process) cpu(t testing.TB) time.Duration {
	t.Helper()
	stat := p.proc(t, "stat")
	// The second field is the program's name in brackets and may hold anything.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	user, err := strconv.Atoi(fields[14-3])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(fields[15-3])
	if err != nil {
		t.Fatal(err)
	}
	const tick = time.Second / 100 // USER_HZ, on every Linux that Go runs on
	return time.Duration(user+system) * tick
}

// established is how many TCP connections to address are established in the
// process's network namespace, as its own end sees them.
func (p *process) established(t testing.TB, address string) int {
	t.Helper()
	const state = "01" // ESTABLISHED
	at := netip.MustParseAddrPort(address)
	ip := at.Addr().As4()
	// The kernel prints the address as a number in the machine's order, which is
	// little-endian wherever this runs.
	want := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], at.Port())
	n := 0
	for line := range strings.Lines(p.proc(t, "net/tcp")) {
		if fields := strings.Fields(line); fields[2] == want && fields[3] == state {
			n++
		}
	}
	return n
}

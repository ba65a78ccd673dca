//go:build linux

package world

import (
	"net/netip"
	"testing"
	"time"
)

// Descriptors is the number of files and sockets that the process has open.
func (p *Process) Descriptors(t testing.TB) int {
	t.Helper()
	return must(p.Process.Descriptors())(t)
}

// Resident is the process's memory that is in RAM, in KiB.
func (p *Process) Resident(t testing.TB) int {
	t.Helper()
	return int(must(p.Process.Resident())(t) >> 10)
}

// CPU is the processor time that the process has used so far, in steps of 10 ms.
func (p *Process) CPU(t testing.TB) time.Duration {
	t.Helper()
	return must(p.Process.CPU())(t)
}

// Established is the number of TCP connections to address, IP:PORT, that are
// established in the process's network namespace, as the end there sees them.
func (p *Process) Established(t testing.TB, address string) int {
	t.Helper()
	return must(p.Process.Established(netip.MustParseAddrPort(address)))(t)
}

// DatagramsSent is the number of UDP datagrams that were sent in the process's
// network namespace.
func (p *Process) DatagramsSent(t testing.TB) int {
	t.Helper()
	return must(p.Process.DatagramsSent())(t)
}

// must fails the test that it is given if there is an error.
func must[T any](figure T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return figure
	}
}

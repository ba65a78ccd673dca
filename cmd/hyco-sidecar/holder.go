package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"iter"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// holder finds the local address of the socket that keeps addr from being
// bound, in the kernel's tables of this network namespace. Elsewhere than on
// Linux nothing is found.
func holder(network string, addr netip.AddrPort) (netip.Addr, bool) {
	for _, table := range []string{network, network + "6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		if found, ok := holderIn(text, network, addr); ok {
			return found, true
		}
	}
	return netip.Addr{}, false
}

// holderIn looks through a table in the format of /proc/net/tcp.
func holderIn(table []byte, network string, addr netip.AddrPort) (netip.Addr, bool) {
	const listening = "0A"
	for local, state := range socketsIn(table) {
		if network == "tcp" && state != listening {
			continue
		}
		if local.Port() == addr.Port() && (local.Addr() == addr.Addr() || local.Addr().IsUnspecified()) {
			return local.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// undelivered reports whether the kernel still has bytes, or the end, to deliver over
// a connection that arrived at one of places and that no process holds any more.
func undelivered(places map[netip.AddrPort]netip.AddrPort) bool {
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err == nil && undeliveredIn(text, places) {
			return true
		}
	}
	return false
}

// undeliveredIn looks through a table in the format of /proc/net/tcp.
func undeliveredIn(table []byte, places map[netip.AddrPort]netip.AddrPort) bool {
	ending := []string{"04", "09", "0B"} // FIN_WAIT1, LAST_ACK, CLOSING: something is not acknowledged yet
	for local, state := range socketsIn(table) {
		if slices.Contains(ending, state) && places[local].IsValid() {
			return true
		}
	}
	return false
}

// socketsIn yields the local address and the state of every socket of a table in the
// format of /proc/net/tcp.
func socketsIn(table []byte) iter.Seq2[netip.AddrPort, string] {
	return func(yield func(netip.AddrPort, string) bool) {
		lines := bufio.NewScanner(bytes.NewReader(table))
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 {
				continue
			}
			if local, ok := parseKernelAddr(fields[1]); ok && !yield(local, fields[3]) {
				return
			}
		}
	}
}

// parseKernelAddr reads "0100007F:0035": 32-bit words in the machine's order,
// which is little-endian wherever this runs, and the port.
func parseKernelAddr(text string) (netip.AddrPort, bool) {
	ipText, portText, ok := strings.Cut(text, ":")
	ip, err := hex.DecodeString(ipText)
	if !ok || err != nil || len(ip)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(ip)
	port, err := strconv.ParseUint(portText, 16, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), ok && err == nil
}

package kernel

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

// Holder finds the local address of the socket that keeps addr from being bound:
// addr's own, or the wildcard address, which holds its port on every address.
// Network is "tcp" or "udp". Elsewhere than on Linux nothing is found.
func Holder(network string, addr netip.AddrPort) (netip.Addr, bool) {
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

// The states of TCP sockets as /proc/net/tcp writes them (linux/tcp_states.h).
const (
	finWait1  = "04"
	lastAck   = "09"
	listening = "0A"
	closing   = "0B"
)

// holderIn is [Holder] for one table in the format of /proc/net/tcp.
func holderIn(table []byte, network string, addr netip.AddrPort) (netip.Addr, bool) {
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

// HasUnsentData reports whether the kernel still has bytes, or an end of stream, to
// deliver over a TCP connection that no process holds any more and whose local
// address is one of those that ours says yes to.
func HasUnsentData(ours func(local netip.AddrPort) bool) bool {
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err == nil && hasUnsentDataIn(text, ours) {
			return true
		}
	}
	return false
}

// hasUnsentDataIn is [HasUnsentData] for one table. A socket in one of these states
// waits for an acknowledgement of its last bytes or of its FIN (RFC 9293 §3.3.2).
func hasUnsentDataIn(table []byte, ours func(local netip.AddrPort) bool) bool {
	for local, state := range socketsIn(table) {
		if slices.Contains([]string{finWait1, lastAck, closing}, state) && ours(local) {
			return true
		}
	}
	return false
}

// socketsIn yields the local address and the state of every socket of a table in the
// format of /proc/net/tcp (proc_pid_net(5)).
//
// prometheus/procfs reads these tables as well, but its functions for TCP are
// deprecated, and refuse a whole table for one line that they cannot read.
func socketsIn(table []byte) iter.Seq2[netip.AddrPort, string] {
	return func(yield func(netip.AddrPort, string) bool) {
		lines := bufio.NewScanner(bytes.NewReader(table))
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 {
				continue
			}
			if local, ok := parseAddr(fields[1]); ok && !yield(local, fields[3]) {
				return
			}
		}
	}
}

// parseAddr reads "0100007F:0035": 32-bit words in the machine's byte order, which
// is little-endian on every system that the program is built for, and the port.
func parseAddr(text string) (netip.AddrPort, bool) {
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

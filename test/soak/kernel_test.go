package soak_test

import (
	"os"
	"strconv"
	"strings"
)

// tcpStarvation counts connections that the kernel has aborted for want of
// memory for TCP (net.ipv4.tcp_mem), which all processes of a machine share. A
// neighbour with many stalled connections can use it up; what then breaks is
// nobody's fault.
func tcpStarvation() int {
	text, err := os.ReadFile("/proc/net/netstat")
	if err != nil {
		return 0
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TcpExt:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "TCPAbortOnMemory" && i < len(fields) {
				n, _ := strconv.Atoi(fields[i]) // the kernel writes numbers
				return n
			}
		}
	}
	return 0
}

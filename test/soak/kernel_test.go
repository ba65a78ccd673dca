package soak_test

import "github.com/prometheus/procfs"

// tcpStarvation counts connections that the kernel has aborted for want of memory for
// TCP (net.ipv4.tcp_mem), which all processes of a machine share. A neighbour with
// many stalled connections can use it up; what then breaks is nobody's fault. Where
// the kernel does not tell, it is 0.
func tcpStarvation() int {
	self, err := procfs.Self()
	if err != nil {
		return 0
	}
	counters, err := self.Netstat()
	if err != nil || counters.TcpExt.TCPAbortOnMemory == nil {
		return 0
	}
	return int(*counters.TcpExt.TCPAbortOnMemory)
}

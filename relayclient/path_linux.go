package relayclient

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pathOf asks the kernel about the TCP connection beneath conn (tcp(7), TCP_INFO).
func pathOf(conn net.Conn) path {
	tcp, ok := beneath(conn).(syscall.Conn)
	if !ok {
		return path{}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return path{}
	}
	var info *unix.TCPInfo
	// Errors mean that the connection has ended, which the next read or write meets.
	_ = raw.Control(func(fd uintptr) { info, _ = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if info == nil {
		return path{}
	}
	return path{
		unacked:       info.Unacked,
		retransmitted: info.Retransmits > 0,
		sinceAck:      time.Duration(info.Last_ack_recv) * time.Millisecond,
	}
}

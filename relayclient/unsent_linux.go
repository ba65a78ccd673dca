package relayclient

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes written to conn the kernel still holds back, because
// the far side's window is closed or the network is slow. 0 where it cannot tell.
func unsent(conn net.Conn) int {
	tcp, ok := beneath(conn).(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	// An error means that the connection has ended, which is told elsewhere.
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) })
	return n
}

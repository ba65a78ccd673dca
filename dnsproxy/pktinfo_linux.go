package dnsproxy

import (
	"net"

	"golang.org/x/sys/unix"
)

// reportDestination has the kernel tell to which address each datagram was
// sent, and reports whether it will. A socket on [::] takes datagrams of both
// families, one on 0.0.0.0 refuses the option of IPv6.
func reportDestination(conn *net.UDPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var err4, err6 error
	err = raw.Control(func(fd uintptr) {
		err4 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		err6 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	return err == nil && (err4 == nil || err6 == nil)
}

package capture

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownPriority marks the sidecar's own sockets (SO_PRIORITY, socket(7)). It stays on
// this machine and chooses a band in a network device's queue, if anything. Up to 6
// it needs no right, unlike a mark (SO_MARK), so that the rules may be another's to
// install; and 5 is none that the kernel derives from a type of service.
const ownPriority = 5

// Exempt is the Control of a [net.Dialer] whose TCP connections the rules leave
// alone: the sidecar's to the relay, to a proxy or to a resolver, should one of them
// be where an endpoint is.
func Exempt(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, ownPriority)
	})
	if err != nil {
		return err
	}
	return failed
}

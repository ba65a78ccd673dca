//go:build linux

package role

import (
	"io"
	"net"
	"net/netip"
	"os"
)

// playHole swallows all that is sent to its addresses, over UDP and over TCP:
// the kernel takes it, and nobody reads. It ends with its stdin.
func playHole(addresses []string) error {
	var last net.Listener
	for _, address := range addresses {
		addr, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return err
		}
		defer packets.Close()
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		defer ln.Close()
		last = ln
	}
	listening(last)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

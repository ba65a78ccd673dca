//go:build linux

package role

import (
	"math/rand/v2"
	"net"
)

// playNoise sends random bytes of every small length, over UDP and TCP.
func playNoise(address string) error {
	random := rand.NewChaCha8([32]byte{9})
	packet := make([]byte, 300)
	for n := range len(packet) {
		_, _ = random.Read(packet[:n])
		udp, err := net.Dial("udp4", address)
		if err != nil {
			return err
		}
		_, _ = udp.Write(packet[:n]) // an earlier packet's ICMP error may be told here
		udp.Close()
		if n%10 != 0 {
			continue
		}
		tcp, err := net.Dial("tcp4", address)
		if err != nil {
			return err
		}
		_, _ = tcp.Write(packet[:n]) // the server may hang up at any byte
		tcp.Close()
	}
	return nil
}

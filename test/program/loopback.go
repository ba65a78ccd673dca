package program

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// Loopback hands out loopback addresses that hardly anybody else uses, so that a
// port found free there stays free.
type Loopback struct {
	mu  sync.Mutex
	ips int // handed out
}

// IP is another address each of 254 times.
func (l *Loopback) IP() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ips++
	return fmt.Sprintf("127.77.%d.%d", 1+os.Getpid()%254, 1+l.ips%254)
}

// FreeAddress is ip with a port that is free there for TCP and UDP.
func FreeAddress(ip string) (address string, err error) {
	for range 100 {
		tcp, err := net.Listen("tcp", ip+":0")
		if err != nil {
			return "", err
		}
		address = tcp.Addr().String()
		udp, err := net.ListenPacket("udp", address)
		tcp.Close()
		if err == nil {
			udp.Close()
			return address, nil
		}
	}
	return "", errors.New("no port is free for both TCP and UDP on " + ip)
}

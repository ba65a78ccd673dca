package main

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// nextIP is a loopback address that hardly anybody else uses, so that a port
// found free there stays free. It is another one each of 254 times.
func (w *world) nextIP() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ips++
	return fmt.Sprintf("127.77.%d.%d", 1+os.Getpid()%254, 1+w.ips%254)
}

// freePort is an address with a port of ip that is free for TCP and UDP.
func freePort(ip string) (address string, err error) {
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

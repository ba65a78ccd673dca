package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"sync"
)

// roleVariable makes this program play one part in place of measuring.
const roleVariable = "HYCO_BENCH_ROLE"

// roles are the parts. Each prints "listening ADDRESS" when it can be used, and
// goes on until its process is killed.
var roles = map[string]func(args []string) error{
	"target":   playTarget,
	"relay":    playRelay,
	"listener": playListener,
	"front":    playFront,
	"back":     playBack,
	"baseline": playBaseline,
	"delay":    playDelay,
}

// play plays the part and returns the exit code.
func play(role string, args []string) int {
	part, ok := roles[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s=%s: there is no such role\n", roleVariable, role)
		return 2
	}
	if err := part(args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		return 1
	}
	return 0
}

// addressVariable is the IP address that a role listens on; empty is loopback's.
const addressVariable = "HYCO_BENCH_ADDRESS"

// openPort listens where the role is told to.
func openPort() (net.Listener, error) {
	return net.Listen("tcp", cmp.Or(os.Getenv(addressVariable), "127.0.0.1")+":0")
}

const listeningText = "listening "

func listening(ln net.Listener) { fmt.Println(listeningText + ln.Addr().String()) }

// acceptAll serves every connection in a goroutine of its own and closes it then.
// It returns when ln fails and all have ended.
func acceptAll[C net.Conn](ln net.Listener, serve func(C)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer conn.Close()
			serve(conn.(C))
		})
	}
}

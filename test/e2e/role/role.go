//go:build linux

// Package role is what the end-to-end tests need at work in a network namespace and
// no tool of the machine can be: servers of the private network, apps, stand-ins of
// a cloud. The test binary executes itself for that, with Variable naming the role;
// Main, called by TestMain, then plays it instead of running tests.
//
// A role is an ordinary process. It takes arguments, prints on stdout what a test
// waits for ("listening …" when its address is open), reads words on stdin where it
// says so, and works until it is killed or has done what it is for. Its exit code is
// 1 when something went wrong, and stderr says what. Package world starts and ends
// roles.
//
//	app      client, crowd, arrivals, steady, load, send, take, lookup, deaf, noise
//	server   http, echo, late, half-close, stream, exchange, digest, silent, dns, hole
//	relay    listener, front, garbage, garbage-tls, proxy
//	identity cloud, managed
//
// What flows through a connection is Pattern, so that either end knows what has to
// come.
package role

import (
	"fmt"
	"net"
	"os"
)

// Variable names the role in the environment of the test binary.
const Variable = "E2E_ROLE"

// Main plays the role that the environment names and does not return. Without one it
// returns at once.
func Main() {
	if name := os.Getenv(Variable); name != "" {
		os.Exit(play(name, os.Args[1:]))
	}
}

// play plays a role to its end and returns the exit code.
func play(role string, args []string) int {
	var err error
	switch role {
	case "dns":
		err = playDNS(args[0], args[1:])
	case "send", "take":
		err = playFlow(role, args)
	case "listener":
		err = playListener(args)
	case "client":
		err = playClient(os.Stdin, os.Stdout)
	case "load":
		err = playLoad(args)
	case "steady":
		err = playSteady(args)
	case "arrivals":
		err = playArrivals(args)
	case "deaf":
		err = playDeaf(args)
	case "crowd":
		err = playCrowd(args)
	case "noise":
		err = playNoise(args[0])
	case "lookup":
		err = playLookup(args)
	case "cloud":
		err = playCloud(args)
	case "managed":
		err = playManaged(args)
	case "hole":
		err = playHole(args)
	case "proxy":
		err = playProxy(args[0], args[1:])
	default:
		err = playServer(role, args[0], args[1:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s %v: %v\n", role, args, err)
		return 1
	}
	return 0
}

// listening tells the test that the address is open.
func listening(ln net.Listener) { fmt.Println("listening", ln.Addr()) }

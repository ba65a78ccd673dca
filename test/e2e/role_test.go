package e2e_test

import (
	"fmt"
	"net"
	"os"
	"testing"
)

// roleVariable makes the test binary play a part in a namespace in place of
// running tests: a server or a client that no tool of the machine can be.
const roleVariable = "E2E_ROLE"

// play plays the part until the process is ended and returns its exit code.
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

// listening tells the test, on stdout, that the address is open.
func listening(ln net.Listener) { fmt.Println("listening", ln.Addr()) }

// serve starts a server role and waits until its address is open.
func (w *world) serve(t testing.TB, ns, role, address string, args ...string) *process {
	t.Helper()
	p := w.role(t, ns, role, append([]string{address}, args...)...)
	p.awaitText(t, "listening")
	return p
}

func (w *world) role(t testing.TB, ns, role string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return w.start(t, ns, fmt.Sprint(role, " ", args), []string{roleVariable + "=" + role}, append([]string{self}, args...)...)
}

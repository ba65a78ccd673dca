package check

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Canary is the name that every sidecar's resolver answers for itself.
const Canary = "hyco-sidecar.internal"

// resolveWait bounds one look-up. The C library gives up after 5 s and asks
// again; a resolver on this machine takes no time at all.
const resolveWait = 3 * time.Second

// Names asks a resolver as apps do.
type Names struct {
	// Server is asked. The zero value means the nameservers of /etc/resolv.conf,
	// and before them the hosts file.
	Server netip.AddrPort
	// Control prepares the sockets, as [net.Dialer]'s does. Nil does nothing.
	Control func(network, address string, c syscall.RawConn) error
	// Guard wraps what runs on each goroutine; nil leaves it as it is.
	Guard func(f func()) func()
}

// Named is what a resolver says of a host, and of itself.
type Named struct {
	Server  string // the nameserver that was asked last; empty when a hosts file sufficed
	Sidecar string // the version of the sidecar that answers there; empty when none does
	// Instance tells sidecars apart: a new one at every start.
	Instance string
	Err      error // why there is no answer about the sidecar

	Addrs   []netip.Addr // of the host
	AddrErr error
}

// Resolve asks for host's addresses and for who answers, both at once.
func (n Names) Resolve(ctx context.Context, host string) Named {
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	var named Named
	var both sync.WaitGroup
	both.Go(guarded(n.Guard, func() {
		var asked server
		named.Addrs, named.AddrErr = n.resolver(&asked).LookupNetIP(ctx, "ip", host+".")
		for i, a := range named.Addrs { // those of a hosts file come as 4-in-6
			named.Addrs[i] = a.Unmap()
		}
	}))
	both.Go(guarded(n.Guard, func() {
		who := n.Who(ctx)
		named.Server, named.Sidecar, named.Instance, named.Err = who.Server, who.Sidecar, who.Instance, who.Err
	}))
	both.Wait()
	return named
}

// Who asks which sidecar answers, if any.
func (n Names) Who(ctx context.Context) Named { return n.who(ctx, Canary) }

// LeadsTo reports whether questions come to the sidecar of that instance, if need
// be by way of other resolvers, sidecars among them: it alone knows the name.
func (n Names) LeadsTo(ctx context.Context, instance string) bool {
	return n.who(ctx, instance+".loop."+Canary).Instance == instance
}

// who asks name about its owner.
func (n Names) who(ctx context.Context, name string) Named {
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	var asked server
	var named Named
	texts, err := n.resolver(&asked).LookupTXT(ctx, name+".")
	named.Server, named.Err = asked.last(), err
	for _, text := range texts {
		// The record's two strings come as one.
		product, instance, _ := strings.Cut(text, "instance=")
		if version, ok := strings.CutPrefix(product, "hyco-sidecar"); ok {
			named.Sidecar, named.Instance = strings.TrimSpace("hyco-sidecar "+strings.TrimSpace(version)), instance
		}
	}
	return named
}

func (n Names) resolver(asked *server) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if n.Server.IsValid() {
			address = n.Server.String()
		}
		asked.note(address)
		d := net.Dialer{Control: n.Control}
		return d.DialContext(ctx, network, address)
	}}
}

// server remembers who was asked last.
type server struct {
	mu      sync.Mutex
	address string
}

func (s *server) note(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address = address
}

func (s *server) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

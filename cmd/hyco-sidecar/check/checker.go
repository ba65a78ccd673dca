package check

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hyco-sidecar/relayclient"
)

// Endpoint is one host:port of the settings and where it leads.
type Endpoint struct {
	Name       string         // host:port, the host in lower case
	Host       string         // of Name
	Address    netip.AddrPort // where apps connect: the stand-in address, or the address itself
	Arrive     netip.AddrPort // where the sidecar accepts: the same, unless connections are captured
	Literal    bool           // Host is an address, which nobody looks up
	Namespace  string         // host[:port] of the relay
	Entity     string
	Credential string // by name: "key defaultSender", or NoCredential
	Proxy      string // host:port of the proxy on the way to the relay; empty = none
}

// NoCredential is the Credential of a hybrid connection that asks for none.
const NoCredential = "none"

// Checker walks. The functions are called from several goroutines.
type Checker struct {
	Version   string
	Endpoints []Endpoint // all that is configured

	// Resolve asks the machine's resolver, as apps do.
	Resolve func(ctx context.Context, host string) Named
	// Self asks the sidecar where it ought to listen, whatever resolv.conf and a
	// hosts file say.
	Self func(ctx context.Context, host string) Named
	// Ours and Others are the nameservers of /etc/resolv.conf: the addresses where
	// the sidecar ought to listen, and all others. Nil means none.
	Ours, Others []netip.Addr
	// OwnContainer says that this is the sidecar's container, where no app runs.
	OwnContainer bool
	// OtherPort is the sidecar's port for DNS if it is not 53: resolv.conf cannot name
	// another. 0 means 53.
	OtherPort uint16
	// Holder finds who listens on an address or, by a wildcard, on its port. Nil
	// means that this system does not tell.
	Holder func(netip.AddrPort) (netip.Addr, bool)
	// Captured looks whether the rules are in place that lead connections to a
	// running sidecar. Nil means that it needs none.
	Captured func(ctx context.Context) error

	// Dial makes one attempt to reach a listener. The error is a
	// *[relayclient.DialError]; the caller closes the connection.
	Dial func(ctx context.Context, e Endpoint, id string) (net.Conn, relayclient.Attempt, error)
	// Clock makes an ordinary request to the relay, to see whether it answers.
	Clock func(ctx context.Context, e Endpoint) (time.Duration, error)

	Probe      Probe          // what the target is sent; empty = Auto
	TLS        bool           // the target has to speak TLS, with a certificate that is trusted
	RootCAs    *x509.CertPool // trusted to sign the target's certificate; nil = the system's
	BannerWait time.Duration  // for a target that speaks first; 0 = 1 s
	AnswerWait time.Duration  // for its answer; 0 = 25 s, since a target that drops packets is given up by Windows after 21 s

	// Progress is told what is being waited for. Nil means nobody.
	Progress func(endpoint string, stage Stage)
	// Walked is told of each result, in the order asked for and one at a time. Nil
	// means nobody.
	Walked func(Result)
	// Guard wraps what runs on each goroutine; nil leaves it as it is.
	Guard func(f func()) func()
}

// guarded is f as guard has it run on a goroutine. A nil guard leaves it as it is.
func guarded(guard func(f func()) func(), f func()) func() {
	if guard == nil {
		return f
	}
	return guard(f)
}

// atOnce bounds the walks that go on side by side.
const atOnce = 8

// Run walks the endpoints named, each host:port, until ctx ends. A name that is
// not configured has a result of its own.
func (c *Checker) Run(ctx context.Context, names []string) Report {
	began := time.Now()
	here := c.lookAround(ctx)
	results := make([]Result, len(names))
	walked := make([]chan struct{}, len(names))
	for i := range walked {
		walked[i] = make(chan struct{})
	}
	var next atomic.Int64
	var walks sync.WaitGroup
	for range min(atOnce, len(names)) {
		walks.Go(guarded(c.Guard, func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				results[i] = c.walk(ctx, names[i], here)
				close(walked[i])
			}
		}))
	}
	for i, done := range walked {
		<-done
		if c.Walked != nil {
			c.Walked(results[i])
		}
	}
	walks.Wait()
	report := Report{Version: c.Version, Seconds: time.Since(began).Seconds(), Endpoints: results}
	report.judge()
	return report
}

// surroundings are what is seen of a sidecar before any walk.
type surroundings struct {
	running bool
	silence string // of its resolver, although resolv.conf names it; else empty
}

// lookAround finds out whether a sidecar runs in this network namespace: its
// resolver answers, or somebody accepts at a stand-in address.
func (c *Checker) lookAround(ctx context.Context) surroundings {
	bound := func(e Endpoint) bool {
		holder, found := c.Holder(e.Arrive)
		return found && holder == e.Arrive.Addr()
	}
	if c.Holder != nil && slices.ContainsFunc(c.Endpoints, bound) {
		return surroundings{running: true}
	}
	self := c.Self(ctx, Canary)
	here := surroundings{running: self.Sidecar != ""}
	if err, nobody := silent(self.Err); nobody && len(c.Ours) > 0 {
		here.silence = fmt.Sprintf("/etc/resolv.conf names %s, and nobody answers there: %s", c.Ours[0], err)
	}
	return here
}

// Normal returns host:port as [Endpoint] has it; ok is false when it is none.
func Normal(name string) (normal string, ok bool) {
	host, port, err := net.SplitHostPort(name)
	n, numberErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numberErr != nil || host == "" || n == 0 {
		return "", false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(n))), true
}

func (c *Checker) bannerWait() time.Duration {
	if c.BannerWait > 0 {
		return c.BannerWait
	}
	return time.Second
}

func (c *Checker) answerWait() time.Duration {
	if c.AnswerWait > 0 {
		return c.AnswerWait
	}
	return 25 * time.Second
}

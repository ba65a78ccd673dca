package dnsproxy_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// A logBuffer is what a Logger has written; lines tells that there is more.
type logBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	lines chan bool
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p)
	b.lines <- true
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// serveAt is serve on a socket that is known beforehand.
func serveAt(t *testing.T, pc net.PacketConn, s *dnsproxy.Server) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, []net.PacketConn{pc}, nil) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return &client{t: t, addr: pc.LocalAddr().String()}
}

func udpSocket(t *testing.T) (net.PacketConn, netip.AddrPort) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return pc, pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestUpstreamThatLeadsBackIsReportedAndLeftOut(t *testing.T) {
	for _, kind := range []string{"ourselves", "a resolver that asks us"} {
		t.Run(kind, func(t *testing.T) {
			pc, self := udpSocket(t)
			loop := self
			if kind != "ourselves" {
				loop = fakedns.Start(t, func(r *fakedns.Request) {
					conn, err := net.Dial("udp", self.String())
					if err != nil {
						return
					}
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(5 * time.Second))
					conn.Write(r.Raw)
					buf := make([]byte, 1<<16)
					if n, err := conn.Read(buf); err == nil {
						r.Send(buf[:n])
					}
				}).Addr
			}
			logged := &logBuffer{lines: make(chan bool, 100)}
			c := serveAt(t, pc, &dnsproxy.Server{
				Upstreams: []netip.AddrPort{loop},
				Logger:    slog.New(slog.NewTextHandler(logged, nil)),
			})
			select {
			case <-logged.lines:
			case <-time.After(10 * time.Second):
				t.Fatal("no log line")
			}
			for _, want := range []string{"level=ERROR", `msg="DNS upstream leads back to this process and is not used"`, "upstream=" + loop.String()} {
				if !strings.Contains(logged.String(), want) {
					t.Errorf("%q is not in %s", want, logged)
				}
			}
			got := c.ask("udp", question(host, dns.TypeA).SetEdns0(1232, false))
			if got.Rcode != dns.RcodeServerFailure {
				t.Errorf("got %v", got)
			}
			if opt := got.IsEdns0().Option; len(opt) != 1 || !strings.Contains(opt[0].String(), "no usable") {
				t.Errorf("got %v", opt)
			}
		})
	}
}

func TestAnotherInstanceIsAnUpstreamLikeAnyOther(t *testing.T) {
	up := fakedns.Start(t, fakedns.Answer(record(t)))
	behind, behindAddr := udpSocket(t)
	passedOn := make(chan bool, 10)
	serveAt(t, behind, &dnsproxy.Server{Upstreams: upstreams(up), Hooks: dnsproxy.Hooks{
		Answered: func(a dnsproxy.Answered) {
			if a.Source == dnsproxy.SourceForwarded && a.Type == dnsproxy.Type(dns.TypeTXT) {
				passedOn <- true
			}
		},
	}})
	logged := &logBuffer{lines: make(chan bool, 100)}
	front, _ := udpSocket(t)
	c := serveAt(t, front, &dnsproxy.Server{
		Upstreams: []netip.AddrPort{behindAddr},
		Logger:    slog.New(slog.NewTextHandler(logged, nil)),
	})
	<-passedOn
	for range 3 {
		if got := c.ask("udp", question(host, dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("got %v", got)
		}
	}
	if logged.String() != "" {
		t.Errorf("logged %s", logged)
	}
}

func TestTwoInstancesThatForwardToEachOtherNotice(t *testing.T) {
	one, oneAddr := udpSocket(t)
	other, otherAddr := udpSocket(t)
	var clients []*client
	var logs []*logBuffer
	for _, side := range []struct {
		pc net.PacketConn
		to netip.AddrPort
	}{{one, otherAddr}, {other, oneAddr}} {
		logged := &logBuffer{lines: make(chan bool, 100)}
		logs = append(logs, logged)
		clients = append(clients, serveAt(t, side.pc, &dnsproxy.Server{
			Upstreams: []netip.AddrPort{side.to},
			Logger:    slog.New(slog.NewTextHandler(logged, nil)),
		}))
	}
	// Whichever asks first finds the loop and so opens it; the other's probe then
	// ends there.
	select {
	case <-logs[0].lines:
	case <-logs[1].lines:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody noticed")
	}
	for _, c := range clients {
		if got := c.ask("udp", question(host, dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
			t.Errorf("got %v", got)
		}
	}
	if all := logs[0].String() + logs[1].String(); !strings.Contains(all, "leads back to this process") {
		t.Errorf("logged %s", all)
	}
}

func TestLeadsToKnowsTheAddressesOfThisMachine(t *testing.T) {
	for _, test := range []struct {
		upstream, listen string
		want             bool
	}{
		{"127.0.0.1:53", "127.0.0.1:53", true},
		{"[::ffff:127.0.0.1]:53", "127.0.0.1:53", true},
		{"127.0.0.1:5353", "127.0.0.1:53", false},
		{"127.0.0.11:53", "127.0.0.1:53", false}, // Docker's resolver
		{"127.0.0.53:53", "0.0.0.0:53", true},
		{"127.0.0.1:53", "[::]:53", true},
		{"[::1]:53", "[::]:53", true},
		{"[::1]:53", "0.0.0.0:53", false},
		{"0.0.0.0:53", "127.0.0.1:53", true}, // connects to 127.0.0.1
		{"[::]:53", "[::1]:53", true},
		{"192.0.2.1:53", "0.0.0.0:53", false},
		{"192.0.2.1:53", "192.0.2.1:53", true},
		{"[fe80::1%eth0]:53", "[fe80::1%eth1]:53", false},
	} {
		got := dnsproxy.LeadsTo(netip.MustParseAddrPort(test.upstream), netip.MustParseAddrPort(test.listen))
		if got != test.want {
			t.Errorf("LeadsTo(%s, %s) = %v", test.upstream, test.listen, got)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		addr := netip.MustParsePrefix(a.String()).Addr()
		if !dnsproxy.LeadsTo(netip.AddrPortFrom(addr, 53), netip.MustParseAddrPort("[::]:53")) {
			t.Errorf("%v does not lead to [::]", addr)
		}
	}
}

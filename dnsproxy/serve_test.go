package dnsproxy_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

func TestServeReturnsWhenQueriesAreInFlight(t *testing.T) {
	arrived := make(chan bool, 10)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		if r.Msg.Question[0].Name == "www.contoso.com." {
			arrived <- true
		}
	})
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up), Timeout: time.Hour})
	for _, network := range []string{"udp", "tcp"} {
		conn := c.dial(network)
		send(t, conn, wire(t, question("www.contoso.com", dns.TypeA)))
		<-arrived
	}
	start := time.Now()
	c.stop()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Serve returned after %v", took)
	}
}

func TestServeReturnsTheErrorOfAClosedSocket(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	err = new(dnsproxy.Server).Serve(t.Context(), []net.PacketConn{pc}, []net.Listener{ln})
	if err == nil {
		t.Error("Serve returned nil")
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the other socket is still open")
	}
}

func TestSeveralListenAddressesAreServed(t *testing.T) {
	var packets []net.PacketConn
	for range 3 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, pc)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&dnsproxy.Server{Table: table(t)}).Serve(ctx, packets, nil) }()
	for _, pc := range packets {
		c := &client{t: t, addr: pc.LocalAddr().String()}
		if got := c.ask("udp", question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("%v: %v", c.addr, got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReplyFromAWildcardSocketComesFromTheAddressAsked(t *testing.T) {
	for _, wildcard := range []string{"0.0.0.0:0", "[::]:0", "0.0.0.0:0 alone"} {
		network := "udp"
		address, alone := strings.CutSuffix(wildcard, " alone")
		if alone {
			network = "udp4"
		}
		pc, err := net.ListenPacket(network, address)
		if err != nil && os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skipf("this machine lacks %s: %v", wildcard, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (&dnsproxy.Server{Table: table(t)}).Serve(ctx, []net.PacketConn{pc}, nil) }()
		port := pc.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		asked := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.53"), port)
		c := &client{t: t, addr: asked.String()} // its connected socket takes no other source
		if got := c.ask("udp", question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("%s: %v", wildcard, got)
		}
		cancel()
		<-done
	}
}

func TestHooksReportEveryAnswer(t *testing.T) {
	up := fakedns.Start(t, fakedns.Rcode(dns.RcodeNameError))
	answered := make(chan dnsproxy.Answered, 10)
	asked := make(chan dnsproxy.Asked, 10)
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up), Hooks: dnsproxy.Hooks{
		Answered: func(a dnsproxy.Answered) { answered <- a },
		Asked:    func(a dnsproxy.Asked) { asked <- a },
	}})
	refused := question("www.contoso.com", dns.TypeA)
	refused.Opcode = dns.OpcodeStatus
	for _, test := range []struct {
		network string
		msg     *dns.Msg
		want    dnsproxy.Answered
	}{
		{"udp", question("sql01.corp.example", dns.TypeA), dnsproxy.Answered{Source: dnsproxy.SourceOwn, Type: 1}},
		{"tcp", question("sql01.corp.example", dns.TypeAAAA), dnsproxy.Answered{Source: dnsproxy.SourceOwn, Type: 28}},
		{"udp", question(dnsproxy.Canary, dns.TypeTXT), dnsproxy.Answered{Source: dnsproxy.SourceCanary, Type: 16}},
		{"udp", question("nx.contoso.com", dns.TypeMX), dnsproxy.Answered{Source: dnsproxy.SourceForwarded, Type: 15, Rcode: 3}},
		{"udp", refused, dnsproxy.Answered{Source: dnsproxy.SourceRefused, Rcode: 4}},
	} {
		c.ask(test.network, test.msg)
		got := <-answered
		if got.Took <= 0 {
			t.Errorf("took %v", got.Took)
		}
		got.Took = 0
		test.want.Network = test.network
		if got != test.want {
			t.Errorf("got %+v, want %+v", got, test.want)
		}
	}
	if got := <-asked; got.Upstream != up.Addr || got.Rcode != dns.RcodeNameError || got.Err != nil || got.Took <= 0 {
		t.Errorf("asked %+v", got)
	}
}

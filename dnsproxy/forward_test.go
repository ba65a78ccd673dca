package dnsproxy_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

const host = "www.contoso.com"

func record(t testing.TB) dns.RR { return fakedns.RR(t, host+". 300 IN A 192.0.2.7") }

// sameButID compares two messages without their ids.
func sameButID(a, b []byte) bool {
	return len(a) >= 2 && len(b) >= 2 && bytes.Equal(a[2:], b[2:])
}

func TestMessagesAreForwardedByteByByte(t *testing.T) {
	var mu sync.Mutex
	var sent []byte
	up := fakedns.Start(t, func(r *fakedns.Request) {
		reply := bytes.Clone(r.Raw)
		reply[2] |= 0x80
		reply[3] |= 0xA0 | 3 // RA, AD, NXDOMAIN
		isCanary := r.Msg != nil && r.Msg.Question[0].Qtype == dns.TypeTXT
		if !isCanary {
			mu.Lock()
			sent = reply
			mu.Unlock()
		}
		r.Send(reply)
	})
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)})

	// A type nobody knows, a class nobody uses, options that nobody defined,
	// DO, CD, and bytes after the end.
	m := question("wWw.Contoso.com", 65280)
	m.CheckingDisabled = true
	m.Question[0].Qclass = 65281
	m.SetEdns0(4095, true)
	m.IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("as it is")},
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)},
	}
	query := append(wire(t, m), "trailing"...)
	for _, network := range []string{"udp", "tcp"} {
		got := c.raw(network, query)
		seen := forwardedTo(up)
		if arrived := seen[len(seen)-1].Raw; !sameButID(arrived, query) {
			t.Errorf("%s: the upstream got\n%x, want\n%x", network, arrived, query)
		}
		if !bytes.Equal(got[:2], query[:2]) {
			t.Errorf("%s: id %x", network, got[:2])
		}
		mu.Lock()
		if !sameButID(got, sent) {
			t.Errorf("%s: the client got\n%x, want\n%x", network, got, sent)
		}
		mu.Unlock()
	}
}

func TestEachQueryHasItsOwnID(t *testing.T) {
	up := fakedns.Start(t, fakedns.Answer(record(t)))
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up), CacheSize: -1})
	ids := make(map[uint16]bool)
	for range 20 {
		c.ask("udp", question(host, dns.TypeA))
	}
	for _, q := range forwardedTo(up) {
		ids[binary.BigEndian.Uint16(q.Raw)] = true
	}
	if len(ids) < 19 { // two may be the same by chance
		t.Errorf("%d ids in 20 queries", len(ids))
	}
}

func TestStraysDoNotEndTheWait(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		for name, stray := range map[string]func(*fakedns.Request) []byte{
			"wrong id": func(r *fakedns.Request) []byte {
				b := wire(t, r.Reply(dns.RcodeNameError))
				b[0] ^= 0xFF
				return b
			},
			"other name": func(r *fakedns.Request) []byte {
				m := r.Reply(dns.RcodeNameError)
				m.Question[0].Name = "vvv.contoso.com."
				return wire(t, m)
			},
			"other type": func(r *fakedns.Request) []byte {
				m := r.Reply(dns.RcodeNameError)
				m.Question[0].Qtype = dns.TypeAAAA
				return wire(t, m)
			},
			"no question": func(r *fakedns.Request) []byte {
				m := r.Reply(dns.RcodeNameError)
				m.Question = nil
				return wire(t, m)
			},
			"the query itself": func(r *fakedns.Request) []byte { return r.Raw },
			"garbage":          func(*fakedns.Request) []byte { return []byte("x") },
			"empty":            func(*fakedns.Request) []byte { return nil },
			"a header cut": func(r *fakedns.Request) []byte {
				return wire(t, r.Reply(dns.RcodeNameError))[:11]
			},
		} {
			t.Run(network+"/"+name, func(t *testing.T) {
				up := fakedns.Start(t, func(r *fakedns.Request) {
					if network == "tcp" && r.Network == "udp" {
						m := r.Reply(dns.RcodeSuccess)
						m.Truncated = true
						r.SendMsg(m)
						return
					}
					r.Send(stray(r))
					r.SendMsg(r.Reply(dns.RcodeSuccess, record(t)))
				})
				c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
				if got := c.ask(network, question(host, dns.TypeA)); got.Rcode != 0 || len(got.Answer) != 1 {
					t.Errorf("got %v", got)
				}
			})
		}
	}
}

func TestRepliesFromAnotherPortAreNotTaken(t *testing.T) {
	up := fakedns.Start(t, func(r *fakedns.Request) {
		r.SendElsewhere(wire(t, r.Reply(dns.RcodeNameError)))
		r.SendMsg(r.Reply(dns.RcodeSuccess, record(t)))
		r.SendMsg(r.Reply(dns.RcodeNameError)) // and one too many
	})
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
	for range 5 {
		if got := c.ask("udp", question(host, dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("got %v", got)
		}
	}
}

func TestUpstreamThatLowersTheCaseIsBelieved(t *testing.T) {
	up := fakedns.Start(t, func(r *fakedns.Request) {
		m := r.Reply(dns.RcodeSuccess, record(t))
		m.Question[0].Name = strings.ToLower(m.Question[0].Name)
		r.SendMsg(m)
	})
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
	if got := c.ask("udp", question("WwW.contoso.COM", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("got %v", got)
	}
}

// big answers with records of about the given number of bytes, whole over TCP
// and over UDP as far as the client's size goes.
func big(t testing.TB, size int) fakedns.Handler {
	var records []dns.RR
	for n := 0; n < size; n += 16 {
		records = append(records, fakedns.RR(t, fmt.Sprintf("%s. 300 IN A 10.0.%d.%d", host, n>>12&255, n>>4&255)))
	}
	return func(r *fakedns.Request) {
		m := r.Reply(dns.RcodeSuccess, records...)
		m.Compress = true
		if r.Network == "udp" {
			limit := dns.MinMsgSize
			if opt := r.Msg.IsEdns0(); opt != nil {
				limit = int(opt.UDPSize())
			}
			m.Truncate(limit)
		}
		r.SendMsg(m)
	}
}

func TestTruncatedReplyIsHandedOnOverUDPAndCompletedOverTCP(t *testing.T) {
	up := fakedns.Start(t, big(t, 4000))
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
	got := c.ask("udp", question(host, dns.TypeA))
	if !got.Truncated {
		t.Errorf("no TC over UDP, %d answers", len(got.Answer))
	}
	got = c.ask("tcp", question(host, dns.TypeA))
	if got.Truncated || len(got.Answer) != 250 {
		t.Errorf("TC %v, %d answers over TCP", got.Truncated, len(got.Answer))
	}
	var networks []string
	for _, q := range forwardedTo(up) {
		networks = append(networks, q.Network)
	}
	if want := []string{"udp", "udp", "tcp"}; !slices.Equal(networks, want) {
		t.Errorf("asked over %v, want %v", networks, want)
	}
}

func TestReplyOf64KiBArrivesWholeOverTCP(t *testing.T) {
	sent := make(chan []byte, 1)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		m := r.Reply(dns.RcodeSuccess)
		if r.Network == "udp" {
			m.Truncated = true
			r.SendMsg(m)
			return
		}
		msg := wire(t, m)
		msg = append(msg, bytes.Repeat([]byte("x"), 65535-len(msg))...)
		sent <- msg
		r.Send(msg)
	})
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
	got := c.raw("tcp", wire(t, question(host, dns.TypeA)))
	if len(got) != 65535 || !sameButID(got, <-sent) {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestLongQueryOverTCPIsNotTriedOverUDP(t *testing.T) {
	up := fakedns.Start(t, fakedns.Answer(record(t)))
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
	m := question(host, dns.TypeA).SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 60000)}}
	if got := c.ask("tcp", m); len(got.Answer) != 1 {
		t.Errorf("got %v", got)
	}
	if seen := forwardedTo(up); len(seen) != 1 || seen[0].Network != "tcp" {
		t.Errorf("%d queries", len(seen))
	}
}

func TestReplyLargerThanTheClientTakesIsCut(t *testing.T) {
	for _, test := range []struct {
		name     string
		size     int // 0 is no EDNS
		reply    int
		wantCut  bool
		wantRRs  int
		wantEDNS bool
	}{
		{"without EDNS, fits", 0, 400, false, 25, false},
		{"without EDNS", 0, 600, true, 0, false},
		{"a size below 512 is 512", 100, 400, false, 25, true},
		{"1232, fits", 1232, 1100, false, 69, true},
		{"1232", 1232, 1300, true, 0, true},
		{"far larger", 1232, 30000, true, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			whole := big(t, test.reply)
			up := fakedns.Start(t, func(r *fakedns.Request) {
				r.Network = "tcp" // this upstream does not care for sizes
				whole(r)
			})
			c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
			m := question(host, dns.TypeA)
			if test.size != 0 {
				m.SetEdns0(uint16(test.size), true)
			}
			got := c.ask("udp", m)
			if got.Truncated != test.wantCut || len(got.Answer) != test.wantRRs || len(got.Question) != 1 {
				t.Errorf("TC %v, %d answers, %d questions", got.Truncated, len(got.Answer), len(got.Question))
			}
			if opt := got.IsEdns0(); (opt != nil) != test.wantEDNS {
				t.Errorf("OPT: %v", opt)
			}
		})
	}
}

func TestNextUpstreamIsAsked(t *testing.T) {
	reset := func(r *fakedns.Request) {
		if r.Network == "tcp" {
			r.Reset()
			return
		}
		m := r.Reply(dns.RcodeSuccess)
		m.Truncated = true
		r.SendMsg(m)
	}
	for name, first := range map[string]fakedns.Handler{
		"silent":   fakedns.Silent,
		"SERVFAIL": fakedns.Rcode(dns.RcodeServerFailure),
		"REFUSED":  fakedns.Rcode(dns.RcodeRefused),
		"SERVFAIL without the question": func(r *fakedns.Request) {
			m := r.Reply(dns.RcodeServerFailure)
			m.Question = nil
			r.SendMsg(m)
		},
		"resets TCP": reset,
	} {
		t.Run(name, func(t *testing.T) {
			good := fakedns.Start(t, big(t, 2000))
			c := serve(t, &dnsproxy.Server{
				Upstreams: upstreams(fakedns.Start(t, first), good),
				Timeout:   300 * time.Millisecond,
			})
			if got := c.ask("tcp", question(host, dns.TypeA)); len(got.Answer) != 125 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestRefusedPortLeadsToTheNextUpstreamAtOnce(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	pc.Close()
	good := fakedns.Start(t, fakedns.Answer(record(t)))
	c := serve(t, &dnsproxy.Server{Upstreams: []netip.AddrPort{closed, good.Addr}, Timeout: time.Minute})
	start := time.Now()
	if got := c.ask("udp", question(host, dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("got %v", got)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestOtherCodesAreFinal(t *testing.T) {
	for _, rcode := range []int{dns.RcodeNameError, dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeYXDomain} {
		first := fakedns.Start(t, fakedns.Rcode(rcode))
		second := fakedns.Start(t, fakedns.Answer(record(t)))
		c := serve(t, &dnsproxy.Server{Upstreams: upstreams(first, second)})
		if got := c.ask("udp", question(host, dns.TypeA)); got.Rcode != rcode {
			t.Errorf("%s became %s", dns.RcodeToString[rcode], dns.RcodeToString[got.Rcode])
		}
		if n := len(forwardedTo(second)); n != 0 {
			t.Errorf("%s: the second upstream was asked %d times", dns.RcodeToString[rcode], n)
		}
	}
}

func TestFirstFailureIsHandedOnWhenNobodyKnowsBetter(t *testing.T) {
	refuse := fakedns.Start(t, fakedns.Rcode(dns.RcodeRefused))
	fail := fakedns.Start(t, fakedns.Rcode(dns.RcodeServerFailure))
	silent := fakedns.Start(t, fakedns.Silent)
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(silent, refuse, fail), Timeout: 100 * time.Millisecond})
	if got := c.ask("udp", question(host, dns.TypeA)); got.Rcode != dns.RcodeRefused {
		t.Errorf("got %v", got)
	}

	c = serve(t, &dnsproxy.Server{Upstreams: upstreams(fail)})
	before := len(forwardedTo(fail))
	if got := c.ask("udp", question(host, dns.TypeA)); got.Rcode != dns.RcodeServerFailure || len(got.Extra) != 0 {
		t.Errorf("got %v", got)
	}
	if n := len(forwardedTo(fail)) - before; n != 1 {
		t.Errorf("a single upstream was asked %d times after its answer", n)
	}
}

func TestNoAnswerAtAllIsServerFailureWithAReason(t *testing.T) {
	silent := fakedns.Start(t, fakedns.Silent)
	for name, test := range map[string]struct {
		ups  []netip.AddrPort
		want string
	}{
		"none set": {nil, "no usable DNS upstream is set"},
		"silent":   {upstreams(silent), "no DNS upstream answered"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: test.ups, Timeout: 50 * time.Millisecond})
			got := c.ask(network, question(host, dns.TypeA).SetEdns0(1232, false))
			if got.Rcode != dns.RcodeServerFailure || got.IsEdns0() == nil || len(got.IsEdns0().Option) != 1 {
				t.Fatalf("%s: %v", name, got)
			}
			if ede := got.IsEdns0().Option[0].(*dns.EDNS0_EDE); ede.ExtraText != test.want || ede.InfoCode != 22 {
				t.Errorf("%s: %v", name, ede)
			}
			if own := c.ask(network, question("sql01.corp.example", dns.TypeA)); len(own.Answer) != 1 {
				t.Errorf("%s: own name: %v", name, own)
			}
		}
	}
}

func TestQueriesAboveMaxInFlightFailAtOnceAndOwnNamesDoNot(t *testing.T) {
	arrived := make(chan bool, 1)
	release := make(chan bool)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		if r.Msg.Question[0].Qtype == dns.TypeA {
			arrived <- true
			<-release
			r.SendMsg(r.Reply(dns.RcodeSuccess, record(t)))
		}
	})
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up), MaxInFlight: 1, Timeout: time.Minute})
	first := c.dial("udp")
	send(t, first, wire(t, question(host, dns.TypeA)))
	<-arrived
	if got := c.ask("udp", question("other.contoso.com", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v", got)
	}
	if got := c.ask("udp", question("sql01.corp.example", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("own name: %v", got)
	}
	close(release)
	if got := parse(t, recv(t, first)); len(got.Answer) != 1 {
		t.Errorf("the first got %v", got)
	}
}

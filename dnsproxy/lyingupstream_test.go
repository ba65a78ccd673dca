package dnsproxy_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// lies are replies that are none to their query, although something in them is
// right.
func lies(t testing.TB) map[string]fakedns.Handler {
	changed := func(change func(*dns.Msg)) fakedns.Handler {
		return func(r *fakedns.Request) {
			m := r.Reply(dns.RcodeSuccess, fakedns.RR(t, host+". 300 IN A 203.0.113.66"))
			change(m)
			r.SendMsg(m)
		}
	}
	return map[string]fakedns.Handler{
		"the id":      changed(func(m *dns.Msg) { m.Id++ }),
		"the name":    changed(func(m *dns.Msg) { m.Question[0].Name = "vvv.contoso.com." }),
		"the type":    changed(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }),
		"the class":   changed(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"the opcode":  changed(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
		"no question": changed(func(m *dns.Msg) { m.Question = nil }),
		"two questions": changed(func(m *dns.Msg) {
			m.Question = append(m.Question, m.Question[0])
		}),
		"itself a query":     changed(func(m *dns.Msg) { m.Response = false }),
		"from another port":  func(r *fakedns.Request) { r.SendElsewhere(wire(t, r.Reply(dns.RcodeSuccess, record(t)))) },
		"a header and a bit": func(r *fakedns.Request) { r.Send(wire(t, r.Reply(dns.RcodeSuccess))[:14]) },
	}
}

// An upstream that lies has not answered: the next one is asked, and without
// one the client gets SERVFAIL, whatever the lie was.
func TestUpstreamThatLiesIsLikeASilentOne(t *testing.T) {
	for name, lie := range lies(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			liar := fakedns.Start(t, lie)
			for _, network := range []string{"udp", "tcp"} {
				c := serve(t, &dnsproxy.Server{Upstreams: upstreams(liar), Timeout: 50 * time.Millisecond})
				got := c.ask(network, question(host, dns.TypeA).SetEdns0(1232, false))
				sameText(t, got, `
;; opcode: QUERY, status: SERVFAIL, id: 4660
;; flags: qr rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version 0; flags:; udp: 1232
; EDE: 22 (No Reachable Authority): (no DNS upstream answered)

;; QUESTION SECTION:
;www.contoso.com.	IN	 A
`)
				good := fakedns.Start(t, fakedns.Answer(record(t)))
				c = serve(t, &dnsproxy.Server{Upstreams: upstreams(liar, good), Timeout: 50 * time.Millisecond})
				got = c.ask(network, question(host, dns.TypeA))
				if len(got.Answer) != 1 || got.Answer[0].String() != record(t).String() {
					t.Errorf("%s: got %v", network, got)
				}
			}
		})
	}
}

// A guesser has all ids but one; the right reply is taken when it comes (RFC
// 5452 section 9.1).
func TestManyWrongIDsDoNotDriveOutTheRightOne(t *testing.T) {
	up := fakedns.Start(t, func(r *fakedns.Request) {
		lie := r.Reply(dns.RcodeNameError)
		for range 100 { // what a socket's buffer holds
			lie.Id++
			r.SendMsg(lie)
		}
		r.SendMsg(r.Reply(dns.RcodeSuccess, record(t)))
	})
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
	if got := c.ask("udp", question(host, dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("got %v", got)
	}
}

// An upstream that answers everything twice, the second time late and then
// with something else, deceives nobody: not the same client and not the next.
func TestSecondAnswerReachesNobody(t *testing.T) {
	var mu sync.Mutex
	var late []func()
	up := fakedns.Start(t, func(r *fakedns.Request) {
		again := r.Reply(dns.RcodeNameError)
		r.SendMsg(r.Reply(dns.RcodeSuccess, fakedns.RR(t, r.Msg.Question[0].Name+" 0 IN TXT "+r.Msg.Question[0].Name)))
		r.SendMsg(again)
		mu.Lock()
		defer mu.Unlock()
		for _, send := range late {
			send()
		}
		late = append(late[max(0, len(late)-3):], func() { r.SendMsg(again) })
	})
	answered := make(chan bool, 1000)
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up), Hooks: dnsproxy.Hooks{
		Answered: func(dnsproxy.Answered) { answered <- true },
	}})
	conn := c.dial("udp")
	for i := range 100 {
		q := question(fmt.Sprintf("x%d.contoso.com", i%3), dns.TypeTXT)
		q.Id = uint16(i)
		send(t, conn, wire(t, q))
		got := parse(t, recv(t, conn))
		if got.Id != q.Id || len(got.Answer) != 1 || got.Answer[0].(*dns.TXT).Txt[0] != q.Question[0].Name {
			t.Errorf("query %d got %v", i, got)
		}
		<-answered
	}
	if n := len(answered); n != 0 {
		t.Errorf("%d replies too many", n)
	}
}

// An upstream whose TCP fails after its UDP said "truncated" has not answered
// a client on TCP; one on UDP does not notice.
func TestUpstreamWhoseTCPFails(t *testing.T) {
	for name, fail := range map[string]func(*fakedns.Request){
		"resets":        func(r *fakedns.Request) { r.Reset() },
		"half a reply":  func(r *fakedns.Request) { r.SendHalf(wire(t, r.Reply(dns.RcodeSuccess, record(t)))) },
		"only a length": func(r *fakedns.Request) { r.SendHalf(nil) },
		"nothing":       func(*fakedns.Request) {},
		"another id": func(r *fakedns.Request) {
			m := r.Reply(dns.RcodeSuccess, record(t))
			m.Id++
			r.SendMsg(m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := fakedns.Start(t, func(r *fakedns.Request) {
				if r.Network == "tcp" {
					fail(r)
					return
				}
				m := r.Reply(dns.RcodeSuccess)
				m.Truncated = true
				r.SendMsg(m)
			})
			c := serve(t, &dnsproxy.Server{Upstreams: upstreams(bad), Timeout: 200 * time.Millisecond})
			start := time.Now()
			if got := c.ask("tcp", question(host, dns.TypeA)); got.Rcode != dns.RcodeServerFailure || got.Truncated {
				t.Errorf("alone, over TCP: %v", got)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("alone, over TCP: after %v", took)
			}
			if got := c.ask("udp", question(host, dns.TypeA)); got.Rcode != dns.RcodeSuccess || !got.Truncated {
				t.Errorf("alone, over UDP: %v", got)
			}
			good := fakedns.Start(t, big(t, 2000))
			c = serve(t, &dnsproxy.Server{Upstreams: upstreams(bad, good), Timeout: 200 * time.Millisecond})
			if got := c.ask("tcp", question(host, dns.TypeA)); len(got.Answer) != 125 {
				t.Errorf("with another: %v", got)
			}
		})
	}
}

// A datagram can be almost 64 KiB long. A client that takes so much gets it
// whole, any other one is told to come over TCP.
func TestLargestDatagram(t *testing.T) {
	sent := make(chan []byte, 10)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		m := r.Reply(dns.RcodeSuccess)
		if strings.HasSuffix(r.Msg.Question[0].Name, dnsproxy.Canary+".") {
			r.SendMsg(m)
			return
		}
		msg := wire(t, m)
		msg = append(msg, bytes.Repeat([]byte("x"), 65507-len(msg))...) // 65535 less IPv4 and UDP headers
		sent <- msg
		r.Send(msg)
	})
	c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
	for _, size := range []uint16{0, 512, 1232, 4096, 65506, 65507, 65535} {
		q := question(host, dns.TypeA)
		if size != 0 {
			q.SetEdns0(size, false)
		}
		got := c.raw("udp", wire(t, q))
		want := <-sent
		if size >= 65507 {
			if !sameButID(got, want) {
				t.Errorf("a client that takes %d got %d bytes", size, len(got))
			}
		} else if m := parse(t, got); !m.Truncated || len(got) > int(max(size, 512)) {
			t.Errorf("a client that takes %d got %d bytes, TC %v", size, len(got), m.Truncated)
		}
	}
}

// What a TTL means is for the client to judge; RFC 2181 section 8 and RFC 8767
// section 4 differ.
func TestStrangeTTLsPassAsTheyAre(t *testing.T) {
	for _, ttl := range []uint32{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		rr := record(t)
		rr.Header().Ttl = ttl
		up := fakedns.Start(t, fakedns.Answer(rr))
		for _, network := range []string{"udp", "tcp"} {
			c := serve(t, &dnsproxy.Server{Upstreams: upstreams(up)})
			if got := c.ask(network, question(host, dns.TypeA)); len(got.Answer) != 1 || got.Answer[0].Header().Ttl != ttl {
				t.Errorf("%s: TTL %d became %v", network, ttl, got.Answer)
			}
		}
	}
}

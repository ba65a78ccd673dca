package dnsproxy_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
)

// after returns a handler that takes its time.
func after(delay time.Duration, handle memoryHandler) memoryHandler {
	return func(network string, q *dns.Msg) []byte {
		time.Sleep(delay)
		return handle(network, q)
	}
}

func TestIdenticalQuestionsInFlightAreAskedOnce(t *testing.T) {
	for _, test := range []struct {
		name      string
		handle    memoryHandler
		wantRcode int
		wantAsked int
	}{
		{"answered", replying(record(t)), dns.RcodeSuccess, 1},
		{"not to be cached", func(_ string, q *dns.Msg) []byte { return packed(replyTo(q, dns.RcodeNameError)) }, dns.RcodeNameError, 1},
		{"silent", silent, dns.RcodeServerFailure, 2}, // from two ports
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &memoryUpstream{handle: after(100*time.Millisecond, test.handle)}
				c := serveInMemory(t, &dnsproxy.Server{}, up)
				var replies []<-chan []byte
				start := time.Now()
				for i := range 10 {
					q := question(host, dns.TypeA)
					q.Id = uint16(1000 + i)
					replies = append(replies, c.start(wire(t, q)))
					time.Sleep(time.Millisecond)
				}
				for i, reply := range replies {
					got := parse(t, c.wait(reply))
					if got.Id != uint16(1000+i) || got.Rcode != test.wantRcode || got.Question[0].Name != host+"." {
						t.Errorf("client %d: %v", i, got)
					}
					if answered := len(got.Answer) == 1; answered != (test.wantRcode == dns.RcodeSuccess) {
						t.Errorf("client %d: %v", i, got)
					}
				}
				if n := up.count(host); n != test.wantAsked {
					t.Errorf("the upstream was asked %d times, want %d", n, test.wantAsked)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// Questions that look alike and are not: each gets its own answer.
func TestDifferentQuestionsInFlightAreNotMixedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: after(100*time.Millisecond, replying(record(t)))}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		variants := []func(*dns.Msg){
			func(*dns.Msg) {},
			func(m *dns.Msg) { m.Question[0].Name = "WWW.contoso.com." },
			func(m *dns.Msg) { m.Question[0].Name = "www.contoso.com.fabrikam.com." },
			func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
			func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
			func(m *dns.Msg) { m.SetEdns0(1232, false) },
			func(m *dns.Msg) { m.SetEdns0(1232, true) },
			func(m *dns.Msg) { m.CheckingDisabled = true },
			func(m *dns.Msg) { m.RecursionDesired = false },
		}
		var replies []<-chan []byte
		var asked []*dns.Msg
		for i, change := range variants {
			q := question(host, dns.TypeA)
			q.Id = uint16(i)
			change(q)
			asked = append(asked, q)
			replies = append(replies, c.start(wire(t, q)))
		}
		for i, reply := range replies {
			got, q := parse(t, c.wait(reply)), asked[i]
			if got.Id != q.Id || got.Question[0] != q.Question[0] || got.CheckingDisabled != q.CheckingDisabled ||
				got.RecursionDesired != q.RecursionDesired || (got.IsEdns0() == nil) != (q.IsEdns0() == nil) {
				t.Errorf("asked %v, got %v", q, got)
			} else if opt := q.IsEdns0(); opt != nil && opt.Do() != got.IsEdns0().Do() {
				t.Errorf("asked %v, got %v", q, got)
			}
		}
	})
}

// sized answers as a resolver does that heeds what the client takes.
func sized(t testing.TB, records int) memoryHandler {
	var rrs []dns.RR
	for n := range records {
		rrs = append(rrs, &dns.A{
			Hdr: dns.RR_Header{Name: host + ".", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
			A:   []byte{192, 0, byte(n >> 8), byte(n)},
		})
	}
	return func(network string, q *dns.Msg) []byte {
		m := replyTo(q, dns.RcodeSuccess, rrs...)
		if network == "udp" {
			limit := dns.MinMsgSize
			if opt := q.IsEdns0(); opt != nil {
				limit = max(limit, int(opt.UDPSize()))
			}
			m.Truncate(limit)
		}
		return packed(m)
	}
}

// Of clients with the same question one on UDP may get a truncated reply, and
// one on TCP never.
func TestClientOnTCPDoesNotShareATruncatedReply(t *testing.T) {
	for _, first := range []string{"udp", "tcp"} {
		t.Run(first+" first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &memoryUpstream{handle: after(100*time.Millisecond, sized(t, 200))}
				c := serveInMemory(t, &dnsproxy.Server{}, up)
				q := question(host, dns.TypeA)
				conn := c.dialTCP()
				if first == "tcp" {
					send(t, conn, wire(t, q))
					synctest.Wait()
				}
				datagram := c.start(wire(t, q))
				if first == "udp" {
					synctest.Wait()
					send(t, conn, wire(t, q))
				}
				if got := parse(t, recv(t, conn)); got.Truncated || len(got.Answer) != 200 {
					t.Errorf("over TCP: TC %v, %d answers", got.Truncated, len(got.Answer))
				}
				got := c.wait(datagram)
				if m := parse(t, got); !m.Truncated || len(got) > 512 {
					t.Errorf("over UDP: TC %v, %d bytes", m.Truncated, len(got))
				}
			})
		})
	}
}

// A reply in the cache is cut for each client as if it had just come.
func TestCachedReplyFitsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: sized(t, 200)} // 3.2 KB
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		ask := func(network string, size uint16, wantCut bool, wantAnswers int, wantSource dnsproxy.Source) {
			t.Helper()
			q := question(host, dns.TypeA).SetEdns0(size, false)
			var got *dns.Msg
			if network == "tcp" {
				got = c.askTCP(q)
			} else {
				raw := c.raw(wire(t, q))
				if len(raw) > int(size) {
					t.Errorf("%d bytes for a client that takes %d", len(raw), size)
				}
				got = parse(t, raw)
			}
			if got.Truncated != wantCut || wantAnswers >= 0 && len(got.Answer) != wantAnswers || got.IsEdns0() == nil {
				t.Errorf("%s with %d: TC %v, %d answers", network, size, got.Truncated, len(got.Answer))
			}
			if source := c.source(); source != wantSource {
				t.Errorf("%s with %d: from %q", network, size, source)
			}
		}
		ask("udp", 512, true, -1, dnsproxy.SourceForwarded) // cut by the upstream
		ask("udp", 1232, true, -1, dnsproxy.SourceForwarded)
		ask("tcp", 512, false, 200, dnsproxy.SourceForwarded) // and completed
		ask("udp", 512, true, 0, dnsproxy.SourceCache)
		ask("udp", 1232, true, 0, dnsproxy.SourceCache)
		ask("udp", 4096, false, 200, dnsproxy.SourceCache)
		ask("tcp", 512, false, 200, dnsproxy.SourceCache)
		if n := up.count(host); n != 4 { // the third query over UDP and TCP
			t.Errorf("asked %d times", n)
		}
	})
}

// The one who asked first may leave; the others have not.
func TestTheFirstToAskMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: after(time.Second, replying(record(t)))}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		conn := c.dialTCP()
		send(t, conn, wire(t, question(host, dns.TypeA)))
		synctest.Wait()
		reply := c.start(wire(t, question(host, dns.TypeA)))
		synctest.Wait()
		conn.Close()
		if got := parse(t, c.wait(reply)); len(got.Answer) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

// A crowd that asks for the same is one query in flight, and not a reason to
// refuse others.
func TestCrowdWithOneQuestionLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: after(time.Second, replying(record(t)))}
		c := serveInMemory(t, &dnsproxy.Server{MaxInFlight: 20}, up)
		var crowd []<-chan []byte
		for i := range 200 {
			q := question(host, dns.TypeA)
			q.Id = uint16(i)
			crowd = append(crowd, c.start(wire(t, q)))
			synctest.Wait()
		}
		if got := c.ask(question("other.contoso.com", dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("another question got %v", got)
		}
		rcodes := make(map[string]int)
		for _, reply := range crowd {
			rcodes[dns.RcodeToString[parse(t, c.wait(reply)).Rcode]]++
		}
		if want := "map[NOERROR:200]"; fmt.Sprint(rcodes) != want {
			t.Errorf("the crowd got %v, want %s", rcodes, want)
		}
	})
}

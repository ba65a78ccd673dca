package dnsproxy_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// The largest message that TCP can carry is read whole, whatever it is, and the
// connection goes on.
func TestMessagesOf64KiBOverTCP(t *testing.T) {
	up := fakedns.Start(t, fakedns.Answer(record(t)))
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)})
	conn := c.dial("tcp")
	padded := func(name string) []byte {
		m := question(name, dns.TypeA).SetEdns0(4096, false)
		padding := &dns.EDNS0_PADDING{}
		m.IsEdns0().Option = []dns.EDNS0{padding}
		padding.Padding = make([]byte, 65535-len(wire(t, m)))
		return wire(t, m)
	}
	ask := func(msg []byte) *dns.Msg {
		t.Helper()
		if len(msg) != 65535 {
			t.Fatalf("%d bytes", len(msg))
		}
		send(t, conn, msg)
		return parse(t, recv(t, conn))
	}
	if got := ask(padded("sql01.corp.example")); len(got.Answer) != 1 || !got.Authoritative {
		t.Errorf("own name: %v", got)
	}
	if got := ask(padded(host)); len(got.Answer) != 1 || got.Authoritative {
		t.Errorf("other name: %v", got)
	}
	const empty = "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00" // the shortest record
	records := wire(t, question("sql01.corp.example", dns.TypeA))
	most := (65535 - len(records)) / len(empty)
	records = append(records, bytes.Repeat([]byte(empty), most)...)
	records = append(records, make([]byte, 65535-len(records))...)
	binary.BigEndian.PutUint16(records[10:], uint16(most))
	if got := ask(records); len(got.Answer) != 1 {
		t.Errorf("thousands of records: %v", got)
	}
	zeros := make([]byte, 65535)
	binary.BigEndian.PutUint16(zeros, 0x1234)
	if got := ask(zeros); got.Rcode != dns.RcodeFormatError || got.Id != 0x1234 {
		t.Errorf("zeros: %v", got)
	}
	ones := bytes.Repeat([]byte{0xFF}, 65535)
	ones[2] = 0 // a query
	if got := ask(ones); got.Rcode != dns.RcodeFormatError || got.Id != 0xFFFF {
		t.Errorf("ones: %v", got)
	}
	send(t, conn, nil) // a message of no bytes: dropped
	send(t, conn, wire(t, question("sql01.corp.example", dns.TypeA)))
	if got := parse(t, recv(t, conn)); len(got.Answer) != 1 {
		t.Errorf("after all that: %v", got)
	}
}

func TestUnknownOpcodesAreNotImplemented(t *testing.T) {
	up := fakedns.Start(t, fakedns.Answer(record(t)))
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)})
	for _, network := range []string{"udp", "tcp"} {
		for opcode := 1; opcode < 16; opcode++ {
			for _, name := range []string{"sql01.corp.example", host} {
				m := question(name, dns.TypeSOA)
				m.Opcode = opcode
				got := c.ask(network, m)
				if got.Rcode != dns.RcodeNotImplemented || got.Opcode != opcode || got.Id != m.Id || !got.Response || len(got.Answer) != 0 {
					t.Errorf("%s: opcode %d: %v", network, opcode, got)
				}
			}
		}
	}
	if seen := forwardedTo(up); len(seen) != 0 {
		t.Errorf("the upstream was asked %d times", len(seen))
	}
}

// Own names exist in class IN only; of other names' classes the upstream knows.
func TestUnknownClasses(t *testing.T) {
	up := fakedns.Start(t, fakedns.Rcode(dns.RcodeNotImplemented))
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)})
	for i, class := range []uint16{0, 2, dns.ClassCHAOS, dns.ClassHESIOD, dns.ClassNONE, dns.ClassANY, 256, 257, 65535} {
		own := question("sql01.corp.example", dns.TypeA)
		own.Question[0].Qclass = class
		if got := c.ask("udp", own); got.Rcode != dns.RcodeRefused || len(got.Answer) != 0 || got.Question[0] != own.Question[0] {
			t.Errorf("own name, class %d: %v", class, got)
		}
		other := question(host, dns.TypeA)
		other.Question[0].Qclass = class
		if got := c.ask("udp", other); got.Rcode != dns.RcodeNotImplemented || got.Question[0] != other.Question[0] {
			t.Errorf("other name, class %d: %v", class, got)
		}
		if seen := forwardedTo(up); len(seen) != i+1 || !sameButID(seen[i].Raw, wire(t, other)) {
			t.Errorf("class %d: the upstream has seen %d queries", class, len(seen))
		}
	}
}

// Whoever sends responses to the port where we take queries is not answered
// and not believed.
func TestSpoofedRepliesAreDropped(t *testing.T) {
	arrived, release := make(chan []byte, 1), make(chan bool)
	up := fakedns.Start(t, func(r *fakedns.Request) {
		if r.Msg.Question[0].Qtype != dns.TypeA {
			return // the canary
		}
		arrived <- r.Raw
		<-release
		r.SendMsg(r.Reply(dns.RcodeSuccess, record(t)))
	})
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up), Timeout: time.Minute})
	waiting := c.dial("udp")
	send(t, waiting, wire(t, question(host, dns.TypeA)))
	asked := new(dns.Msg)
	if err := asked.Unpack(<-arrived); err != nil {
		t.Fatal(err)
	}
	spoofer := c.dial("udp")
	for _, network := range []string{"udp", "tcp"} {
		spoofer := spoofer
		if network == "tcp" {
			spoofer = c.dial("tcp")
		}
		// Even one who knows the id sends it to the wrong socket.
		lie := new(dns.Msg).SetReply(asked)
		lie.Answer = []dns.RR{fakedns.RR(t, fmt.Sprintf("%s. 300 IN A 203.0.113.66", host))}
		for range 100 {
			send(t, spoofer, wire(t, lie))
		}
		own := question("sql01.corp.example", dns.TypeA)
		own.Id = 99
		send(t, spoofer, wire(t, own))
		if got := parse(t, recv(t, spoofer)); got.Id != 99 {
			t.Errorf("%s: a response was answered: %v", network, got)
		}
	}
	close(release)
	if got := parse(t, recv(t, waiting)); len(got.Answer) != 1 || got.Answer[0].String() != record(t).String() {
		t.Errorf("the client got %v", got)
	}
}

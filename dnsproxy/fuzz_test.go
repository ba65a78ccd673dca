package dnsproxy

import (
	"bytes"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func testAnswerer(t testing.TB) answerer {
	t.Helper()
	table, err := NewTable(maps.All(map[string]netip.Addr{
		"sql01.corp.example":       netip.MustParseAddr("127.77.1.2"),
		`a\.b\000.c\255rp.example`: netip.MustParseAddr("127.77.1.3"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return newAnswerer(table, 30*time.Second, "v1", "x")
}

// packed returns the wire form of a query.
func packed(t testing.TB, name string, qtype uint16, change func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	if change != nil {
		change(m)
	}
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// nameOf returns the name that q asks for, as in a zone file, in the client's case.
func nameOf(q *query) string {
	name, _, err := dns.UnpackDomainName(q.raw, headerLen)
	if err != nil {
		return "" // which parse has refused
	}
	return name
}

// FuzzMessage: whatever arrives, a response is never answered, a reply is one
// to its query and fits every client, and what is forwarded is no own name.
func FuzzMessage(f *testing.F) {
	a := testAnswerer(f)
	f.Add([]byte{})
	f.Add(packed(f, "sql01.corp.example.", dns.TypeA, nil))
	f.Add(packed(f, "SQL01.corp.example.", dns.TypeHTTPS, func(m *dns.Msg) { m.SetEdns0(4096, true) }))
	f.Add(packed(f, "www.contoso.com.", dns.TypeMX, func(m *dns.Msg) { m.SetEdns0(0, false) }))
	f.Add(packed(f, "2.1.77.127.in-addr.arpa.", dns.TypePTR, func(m *dns.Msg) { m.Question[0].Qclass = 3 }))
	f.Add(packed(f, Canary+".", dns.TypeANY, func(m *dns.Msg) { m.SetEdns0(512, true).IsEdns0().SetVersion(1) }))
	f.Add(packed(f, ".", dns.TypeNS, func(m *dns.Msg) { m.Response = true }))
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		q := parseQuery(raw)
		if len(raw) < headerLen || raw[2]&flagQR != 0 {
			if q != nil {
				t.Fatal("a stump or a response was answered")
			}
			return
		}
		if q == nil {
			t.Fatal("a query was dropped")
		}
		reply, report := a.answer(nil, q)
		if !bytes.Equal(raw, before) {
			t.Error("the message was changed")
		}
		if reply == nil {
			if q.fault != 0 {
				t.Error("a bad query is to be forwarded")
			}
			if _, ours := a.table.Lookup(nameOf(q)); ours {
				t.Errorf("%s is to be forwarded", nameOf(q))
			}
			if c := q.clone(); !bytes.Equal(c.raw, q.raw) || !bytes.Equal(c.question, q.question) {
				t.Error("the clone differs")
			}
			reply = q.serverFailure(22, "no")
			report = Answered{Rcode: dns.RcodeServerFailure}
		}
		checkReply(t, reply, q, report.Rcode)
	})
}

// checkReply checks what holds of every reply that is made here.
func checkReply(t *testing.T, reply []byte, q *query, rcode Rcode) {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%v: %x", err, reply)
	}
	if !m.Response || m.Id != q.id() || m.Rcode != int(rcode) || len(reply) > minUDP {
		t.Errorf("%d bytes: %v", len(reply), m)
	}
	if (m.IsEdns0() != nil) != q.edns {
		t.Errorf("OPT: %v", m)
	}
	if q.question == nil {
		return
	}
	end, ok := questionEnd(reply)
	if !ok || !bytes.Equal(reply[headerLen:end], q.question) {
		t.Errorf("question %x became %x", q.question, reply[headerLen:])
	}
}

// FuzzOwnNames: names that are not ours are forwarded, ours are answered
// alike in any case, for every type and class.
func FuzzOwnNames(f *testing.F) {
	a := testAnswerer(f)
	f.Add("sql01.corp.example.", dns.TypeA, uint16(1))
	f.Add("sQl01.corp.exAmple.", dns.TypeAAAA, uint16(1))
	f.Add("2.1.77.127.in-addr.arpa.", dns.TypePTR, uint16(1))
	f.Add("02.1.77.127.in-addr.arpa.", dns.TypePTR, uint16(1))
	f.Add("3.1.77.127.IN-ADDR.arpa.", dns.TypeANY, uint16(3))
	f.Add(`A\.b\000.c\255rp.example.`, dns.TypeA, uint16(1))
	f.Add(Canary+".", dns.TypeTXT, uint16(255))
	f.Fuzz(func(t *testing.T, name string, qtype, qclass uint16) {
		m := new(dns.Msg)
		m.Question = []dns.Question{{Name: dns.Fqdn(name), Qtype: qtype, Qclass: qclass}}
		raw, err := m.Pack()
		if err != nil {
			return
		}
		q := parseQuery(raw)
		if q == nil || q.fault != 0 {
			t.Fatalf("%q was not understood", name)
		}
		reply, report := a.answer(nil, q)
		key := dns.CanonicalName(nameOf(q))
		_, isName := a.table.Lookup(name)
		_, isPointer := a.table.record(q.key)
		if ours := isName || isPointer || key == Canary+"."; ours != (reply != nil) {
			t.Fatalf("%q: ours %v, answered %v", name, ours, reply != nil)
		}
		if reply == nil {
			return
		}
		checkReply(t, reply, q, report.Rcode)
		got := new(dns.Msg)
		if err := got.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		switch {
		case qclass != dns.ClassINET:
			if got.Rcode != dns.RcodeRefused {
				t.Errorf("class %d: %v", qclass, got)
			}
		case got.Rcode != dns.RcodeSuccess || len(got.Answer)+len(got.Ns) != 1:
			t.Errorf("got %v", got)
		}
	})
}

// FuzzReply: whatever an upstream sends, it is judged and cut without harm,
// and what is cut still fits and is still an answer.
func FuzzReply(f *testing.F) {
	query := packed(f, "www.contoso.com.", dns.TypeA, nil)
	q := parseQuery(query)
	f.Add(packed(f, "WWW.contoso.com.", dns.TypeA, func(m *dns.Msg) {
		m.Response, m.Id = true, q.id()
		m.SetEdns0(1232, true).IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 600)}}
	}), 512)
	f.Add(query, 512)
	f.Fuzz(func(t *testing.T, reply []byte, size int) {
		size = max(minUDP, size)
		before := answers(reply, q.id(), q.question)
		cut := fit(reply, size)
		if len(cut) > size {
			t.Errorf("%d bytes for a client that takes %d", len(cut), size)
		}
		if before && !answers(cut, q.id(), q.question) {
			t.Errorf("%x\nis no answer any more:\n%x", reply, cut)
		}
		if short := truncate(reply, minUDP); before && short[2]&flagTC == 0 {
			t.Error("no TC")
		}
	})
}

package dnsproxy_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// Every message is written out whole: whoever changes a flag sees it here.
var ownGolden = []struct {
	name  string
	query func() *dns.Msg
	want  string
}{
	{"A", func() *dns.Msg { return question("sql01.corp.example", dns.TypeA) }, `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0

;; QUESTION SECTION:
;sql01.corp.example.	IN	 A

;; ANSWER SECTION:
sql01.corp.example.	60	IN	A	127.77.1.2
`},
	{"A in another case", func() *dns.Msg { return question("aPi.CORP.eXample", dns.TypeA) }, `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0

;; QUESTION SECTION:
;aPi.CORP.eXample.	IN	 A

;; ANSWER SECTION:
aPi.CORP.eXample.	60	IN	A	127.77.3.4
`},
	{"ANY without recursion, checking disabled", func() *dns.Msg {
		m := question("sql01.corp.example", dns.TypeANY)
		m.RecursionDesired, m.CheckingDisabled = false, true
		return m
	}, `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr aa ra cd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0

;; QUESTION SECTION:
;sql01.corp.example.	IN	 ANY

;; ANSWER SECTION:
sql01.corp.example.	60	IN	A	127.77.1.2
`},
	{"AAAA with EDNS and DO", func() *dns.Msg { return question("SQL01.corp.example", dns.TypeAAAA).SetEdns0(4096, true) }, `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version 0; flags: do; udp: 1232

;; QUESTION SECTION:
;SQL01.corp.example.	IN	 AAAA

;; AUTHORITY SECTION:
SQL01.corp.example.	60	IN	SOA	hyco-sidecar.internal. nobody.invalid. 1 3600 1200 604800 60
`},
	{"PTR", func() *dns.Msg { return question("4.3.77.127.in-addr.arpa", dns.TypePTR) }, `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0

;; QUESTION SECTION:
;4.3.77.127.in-addr.arpa.	IN	 PTR

;; ANSWER SECTION:
4.3.77.127.in-addr.arpa.	60	IN	PTR	api.corp.example.
`},
	{"A at the PTR's name", func() *dns.Msg { return question("4.3.77.127.in-addr.arpa", dns.TypeA) }, `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0

;; QUESTION SECTION:
;4.3.77.127.in-addr.arpa.	IN	 A

;; AUTHORITY SECTION:
4.3.77.127.in-addr.arpa.	60	IN	SOA	hyco-sidecar.internal. nobody.invalid. 1 3600 1200 604800 60
`},
	{"class CH", func() *dns.Msg {
		m := question("sql01.corp.example", dns.TypeTXT)
		m.Question[0].Qclass = dns.ClassCHAOS
		return m
	}, `
;; opcode: QUERY, status: REFUSED, id: 4660
;; flags: qr rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0

;; QUESTION SECTION:
;sql01.corp.example.	CH	 TXT
`},
	// 16 is BADVERS in an OPT record and BADSIG in a TSIG record; miekg/dns
	// prints the second.
	{"EDNS version 1", func() *dns.Msg {
		m := question("sql01.corp.example", dns.TypeA).SetEdns0(4096, false)
		m.IsEdns0().SetVersion(1)
		return m
	}, `
;; opcode: QUERY, status: BADSIG, id: 4660
;; flags: qr rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version 0; flags:; udp: 1232

;; QUESTION SECTION:
;sql01.corp.example.	IN	 A
`},
	{"opcode STATUS", func() *dns.Msg {
		m := question("sql01.corp.example", dns.TypeA)
		m.Opcode = dns.OpcodeStatus
		return m
	}, `
;; opcode: STATUS, status: NOTIMP, id: 4660
;; flags: qr rd ra; QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0
`},
	{"two questions", func() *dns.Msg {
		m := question("sql01.corp.example", dns.TypeA)
		m.Question = append(m.Question, m.Question[0])
		return m
	}, `
;; opcode: QUERY, status: FORMERR, id: 4660
;; flags: qr rd ra; QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0
`},
}

func TestOwnNamesOnTheWire(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		c := serve(t, &dnsproxy.Server{Table: table(t), TTL: time.Minute})
		for _, test := range ownGolden {
			t.Run(network+"/"+test.name, func(t *testing.T) {
				sameText(t, c.ask(network, test.query()), test.want)
			})
		}
	}
}

func TestEveryOtherTypeIsNoData(t *testing.T) {
	up := fakedns.Start(t, fakedns.Rcode(dns.RcodeNameError))
	c := serve(t, &dnsproxy.Server{Table: table(t), Upstreams: upstreams(up)})
	for _, qtype := range []uint16{dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeTXT, dns.TypeSRV,
		dns.TypeMX, dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeCNAME, dns.TypeAXFR, 65280} {
		got := c.ask("udp", question("sql01.corp.example", qtype))
		if got.Rcode != dns.RcodeSuccess || !got.Authoritative || len(got.Answer) != 0 || len(got.Ns) != 1 {
			t.Errorf("%v: %v", dns.Type(qtype), got)
			continue
		}
		if soa, ok := got.Ns[0].(*dns.SOA); !ok || soa.Minttl != 30 || soa.Hdr.Ttl != 30 {
			t.Errorf("%v: %v", dns.Type(qtype), got.Ns[0])
		}
	}
	if seen := forwardedTo(up); len(seen) != 0 {
		t.Errorf("the upstream was asked %d times", len(seen))
	}
}

func TestCanaryShowsVersionAndInstance(t *testing.T) {
	s := &dnsproxy.Server{Version: `v1.2\3`}
	var instances []string
	for range 2 {
		got := serve(t, s).ask("udp", question("Hyco-Sidecar.Internal", dns.TypeTXT))
		if len(got.Answer) != 1 || !got.Authoritative {
			t.Fatal(got)
		}
		txt := got.Answer[0].(*dns.TXT)
		if len(txt.Txt) != 2 || txt.Txt[0] != `hyco-sidecar v1.2\\3` || txt.Hdr.Ttl != 0 {
			t.Errorf("got %v", txt)
		}
		id, found := strings.CutPrefix(txt.Txt[1], "instance=")
		if !found || len(id) < 20 {
			t.Errorf("got %q", txt.Txt[1])
		}
		instances = append(instances, id)
	}
	if instances[0] == instances[1] {
		t.Error("two servers have the same id")
	}
	got := serve(t, s).ask("udp", question(dnsproxy.Canary, dns.TypeA))
	if got.Rcode != dns.RcodeSuccess || len(got.Answer) != 0 || len(got.Ns) != 1 {
		t.Errorf("A: %v", got)
	}
}

func TestALongVersionStillMakesACanary(t *testing.T) {
	c := serve(t, &dnsproxy.Server{Version: strings.Repeat("v", 400)})
	got := c.ask("udp", question(dnsproxy.Canary, dns.TypeTXT))
	if len(got.Answer) != 1 {
		t.Fatal(got)
	}
	if txt := got.Answer[0].(*dns.TXT); len(txt.Txt[0]) != 255 {
		t.Errorf("%d bytes", len(txt.Txt[0]))
	}
}

func TestResponsesAndStumpsAreNotAnswered(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		c := serve(t, &dnsproxy.Server{Table: table(t)})
		conn := c.dial(network)
		response := question("sql01.corp.example", dns.TypeA)
		response.Response = true
		send(t, conn, wire(t, response))
		send(t, conn, []byte("\x12\x34\x01\x00\x00\x01"))
		last := question("sql01.corp.example", dns.TypeA)
		last.Id = 99
		send(t, conn, wire(t, last))
		if got := parse(t, recv(t, conn)); got.Id != 99 {
			t.Errorf("%s: got a reply to %d", network, got.Id)
		}
	}
}

func TestMalformedBodiesAreFormatErrors(t *testing.T) {
	c := serve(t, &dnsproxy.Server{Table: table(t)})
	good := wire(t, question("sql01.corp.example", dns.TypeA).SetEdns0(1232, false))
	twoOPT := bytes.Clone(good)
	twoOPT = append(twoOPT, good[len(good)-11:]...)
	twoOPT[11] = 2
	for name, msg := range map[string][]byte{
		"header only":            good[:12],
		"question cut":           good[:20],
		"OPT cut":                good[:len(good)-3],
		"pointer in question":    append(bytes.Clone(good[:12]), 0xC0, 0x00, 0, 1, 0, 1),
		"pointer to itself":      append(bytes.Clone(good[:12]), 0xC0, 0x0C, 0, 1, 0, 1),
		"reserved label type":    append(bytes.Clone(good[:12]), 0x80, 'x', 0, 0, 1, 0, 1),
		"two OPT records":        twoOPT,
		"more records than said": append(bytes.Clone(good[:11]), append([]byte{9}, good[12:]...)...),
	} {
		got := c.raw("udp", msg)
		if got[0] != 0x12 || got[1] != 0x34 || got[2]&0x80 == 0 || got[3]&0xF != dns.RcodeFormatError {
			t.Errorf("%s: %x", name, got)
		}
	}
}

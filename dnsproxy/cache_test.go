package dnsproxy_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/test/fakedns"
)

// sameText compares a whole message with its golden text.
func sameText(t *testing.T, got *dns.Msg, want string) {
	t.Helper()
	if got, want := strings.TrimSpace(got.String()), strings.TrimSpace(want); got != want {
		t.Errorf("got\n%s\n\nwant\n%s", got, want)
	}
}

// alias is a reply with everything that counts down, and an OPT record, which
// has other things where the TTL is.
func alias(t testing.TB) memoryHandler {
	return func(_ string, q *dns.Msg) []byte {
		m := replyTo(q, dns.RcodeSuccess,
			fakedns.RR(t, "www.contoso.com. 300 IN CNAME edge.fabrikam.com."),
			fakedns.RR(t, "edge.fabrikam.com. 60 IN A 192.0.2.7"))
		m.AuthenticatedData = true
		m.Ns = []dns.RR{fakedns.RR(t, "fabrikam.com. 86400 IN NS ns.fabrikam.com.")}
		m.Extra = append(m.Extra, fakedns.RR(t, "ns.fabrikam.com. 3600 IN AAAA 2001:db8::53"))
		return packed(m)
	}
}

func TestTTLsCountDownInTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: alias(t)}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		q := question(host, dns.TypeA).SetEdns0(1232, true)
		sameText(t, c.ask(q), `
;; opcode: QUERY, status: NOERROR, id: 4660
;; flags: qr rd ra ad; QUERY: 1, ANSWER: 2, AUTHORITY: 1, ADDITIONAL: 2

;; OPT PSEUDOSECTION:
; EDNS: version 0; flags: do; udp: 4096

;; QUESTION SECTION:
;www.contoso.com.	IN	 A

;; ANSWER SECTION:
www.contoso.com.	300	IN	CNAME	edge.fabrikam.com.
edge.fabrikam.com.	60	IN	A	192.0.2.7

;; AUTHORITY SECTION:
fabrikam.com.	86400	IN	NS	ns.fabrikam.com.

;; ADDITIONAL SECTION:
ns.fabrikam.com.	3600	IN	AAAA	2001:db8::53
`)
		if got := c.source(); got != dnsproxy.SourceForwarded {
			t.Errorf("the first came from %q", got)
		}
		time.Sleep(10 * time.Second)
		q.Id, q.Question[0].Name = 22136, "WWW.contoso.com."
		const later = `
;; opcode: QUERY, status: NOERROR, id: 22136
;; flags: qr rd ra ad; QUERY: 1, ANSWER: 2, AUTHORITY: 1, ADDITIONAL: 2

;; OPT PSEUDOSECTION:
; EDNS: version 0; flags: do; udp: 4096

;; QUESTION SECTION:
;WWW.contoso.com.	IN	 A

;; ANSWER SECTION:
WWW.contoso.com.	290	IN	CNAME	edge.fabrikam.com.
edge.fabrikam.com.	50	IN	A	192.0.2.7

;; AUTHORITY SECTION:
fabrikam.com.	86390	IN	NS	ns.fabrikam.com.

;; ADDITIONAL SECTION:
ns.fabrikam.com.	3590	IN	AAAA	2001:db8::53
`
		sameText(t, c.ask(q), later)
		sameText(t, c.askTCP(q), later)
		if got := c.source(); got != dnsproxy.SourceCache {
			t.Errorf("the second came from %q", got)
		}
		time.Sleep(49 * time.Second)
		if got := c.ask(q); got.Answer[1].Header().Ttl != 1 {
			t.Errorf("after 59 s of 60: %v", got)
		}
		if n := up.count(host); n != 1 {
			t.Errorf("asked %d times within the TTL", n)
		}
		time.Sleep(time.Second)
		if got := c.ask(q); got.Answer[1].Header().Ttl != 60 || up.count(host) != 2 {
			t.Errorf("after 60 s of 60: asked %d times, %v", up.count(host), got)
		}
	})
}

// What the upstream sent is repeated byte by byte, records of unknown types
// and the order of the records included; only id, case and TTLs are new.
func TestHitIsTheUpstreamsReplyByteByByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: func(_ string, q *dns.Msg) []byte {
			m := replyTo(q, dns.RcodeSuccess,
				fakedns.RR(t, `www.contoso.com. 300 IN TYPE65280 \# 4 C00CC00C`), // no pointers, though they look so
				fakedns.RR(t, "www.contoso.com. 300 IN TYPE65280 \\# 0"))
			m.Zero = true
			return packed(m)
		}}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		msg := wire(t, question(host, 65280))
		first := c.raw(msg)
		time.Sleep(44 * time.Second) // 256 is 0x100
		second := c.raw(msg)
		if c.source() != dnsproxy.SourceCache {
			t.Fatal("the second is not from the cache")
		}
		ttl := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
		if want := bytes.ReplaceAll(first, ttl(300), ttl(256)); !bytes.Equal(second, want) {
			t.Errorf("got\n%x, want\n%x", second, want)
		}
	})
}

func TestEachClientHasItsOwnIDAndCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: replying(record(t))}
		c := serveInMemory(t, &dnsproxy.Server{}, up)
		for i, name := range []string{"www.contoso.com", "WWW.CONTOSO.COM", "wWw.cOnToSo.cOm", "www.contoso.com"} {
			q := question(name, dns.TypeA)
			q.Id = uint16(i * 0x3333)
			asked, got := wire(t, q), c.raw(wire(t, q))
			if !bytes.Equal(got[:2], asked[:2]) || !bytes.Equal(got[12:len(asked)], asked[12:]) {
				t.Errorf("asked\n%x, got\n%x", asked, got)
			}
			if m := parse(t, got); len(m.Answer) != 1 {
				t.Errorf("got %v", m)
			}
		}
		if n := up.count(host); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// An upstream may say of other names what it likes: nobody believes it.
func TestOnlyTheQuestionIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: func(_ string, q *dns.Msg) []byte {
			m := replyTo(q, dns.RcodeSuccess, fakedns.RR(t, q.Question[0].Name+" 300 IN A 192.0.2.7"))
			m.Answer = append(m.Answer, fakedns.RR(t, "bank.contoso.com. 86400 IN A 203.0.113.66"))
			m.Extra = []dns.RR{fakedns.RR(t, "sql01.corp.example. 86400 IN A 203.0.113.66")}
			return packed(m)
		}}
		c := serveInMemory(t, &dnsproxy.Server{Table: table(t)}, up)
		c.ask(question(host, dns.TypeA))
		c.ask(question("bank.contoso.com", dns.TypeA))
		if up.count("bank.contoso.com.") != 1 {
			t.Error("another name's reply was believed")
		}
		got := c.ask(question("sql01.corp.example", dns.TypeA))
		if len(got.Answer) != 1 || got.Answer[0].(*dns.A).A.String() != "127.77.1.2" {
			t.Errorf("own name: %v", got)
		}
	})
}

func TestNegativeCacheSizeSwitchesTheCacheOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &memoryUpstream{handle: replying(record(t))}
		c := serveInMemory(t, &dnsproxy.Server{CacheSize: -1}, up)
		for range 3 {
			if got := c.ask(question(host, dns.TypeA)); got.Answer[0].Header().Ttl != 300 {
				t.Errorf("got %v", got)
			}
			if got := c.source(); got != dnsproxy.SourceForwarded {
				t.Errorf("came from %q", got)
			}
			time.Sleep(time.Second)
		}
		if n := up.count(host); n != 3 {
			t.Errorf("asked %d times", n)
		}
		up.set(silent)
		time.Sleep(time.Hour)
		if got := c.ask(question(host, dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
			t.Errorf("got %v", got)
		}
	})
}

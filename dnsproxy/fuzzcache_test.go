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

// FuzzCache: an upstream sends anything; who asks later gets what the first one
// got, in a reply to his own question, with TTLs that have not grown.
func FuzzCache(f *testing.F) {
	query := question(host, dns.TypeA).SetEdns0(65535, true)
	for _, handle := range []memoryHandler{
		replying(record(f)),
		replying(fakedns.RR(f, host+". 4294967295 IN A 192.0.2.7"), fakedns.RR(f, host+". 100000 IN CNAME "+host+".")),
		alias(f),
		func(_ string, q *dns.Msg) []byte {
			m := replyTo(q, dns.RcodeNameError)
			m.Ns = []dns.RR{fakedns.RR(f, "contoso.com. 3600 IN SOA ns.contoso.com. root.contoso.com. 1 2 3 4 60")}
			return packed(m)
		},
		func(_ string, q *dns.Msg) []byte {
			m := replyTo(q, dns.RcodeSuccess, fakedns.RR(f, host+`. 300 IN TYPE65280 \# 0`),
				fakedns.RR(f, host+". 300 IN SVCB 1 . alpn=h2"), fakedns.RR(f, host+". 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 contoso.com. AAAA"))
			return packed(m)
		},
	} {
		f.Add(handle("udp", query), uint32(10))
		f.Add(handle("udp", query), uint32(4000))
	}
	f.Fuzz(func(t *testing.T, sent []byte, seconds uint32) {
		if len(sent) > 60000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			up := &memoryUpstream{}
			up.handle = func(_ string, q *dns.Msg) []byte {
				if dns.CanonicalName(q.Question[0].Name) != host+"." {
					return packed(replyTo(q, dns.RcodeNameError))
				}
				reply := bytes.Clone(sent)
				if len(reply) >= 3 { // no luck needed for these
					binary.BigEndian.PutUint16(reply, q.Id)
					reply[2] |= 0x80
				}
				return reply
			}
			c := serveInMemory(t, &dnsproxy.Server{CacheSize: 16}, up)
			first := c.raw(wire(t, query))
			asked := up.total()
			time.Sleep(time.Duration(seconds%100000) * time.Second)
			later := query.Copy()
			later.Id, later.Question[0].Name = 22136, strings.ToUpper(host)+"."
			second := c.raw(wire(t, later))
			source := c.source()
			if source == dnsproxy.SourceCache && up.total() != asked || source == dnsproxy.SourceForwarded && up.total() == asked {
				t.Errorf("from %q, but the upstream was asked %d times and then %d times", source, asked, up.total())
			}
			if source == dnsproxy.SourceForwarded {
				return
			}
			checkRepeated(t, first, second, wire(t, later), seconds%100000, source)
		})
	})
}

// checkRepeated checks that second is what first was, but for the id and the
// question, which are those of query, and for the TTLs, which are age seconds
// lower. What the names in it are does not matter: a reply whose pointers lead
// into its id or a TTL is nonsense from the start.
func checkRepeated(t *testing.T, first, second, query []byte, age uint32, source dnsproxy.Source) {
	t.Helper()
	if len(first) != len(second) {
		t.Fatalf("first\n%x, then\n%x", first, second)
	}
	const questionEnd = 12 + len(host) + 2 + 4
	want := bytes.Clone(first)
	copy(want, query[:2])
	want[2] &^= 1 << 2 // AA: what is remembered is no authority's word
	copy(want[12:questionEnd], query[12:])
	count := 0
	for section := 6; section < 12; section += 2 {
		count += int(binary.BigEndian.Uint16(first[section:]))
	}
	off := questionEnd
	for range count {
		off = nameEnd(first, off)
		if off+10 > len(first) {
			t.Fatalf("a broken reply came from %q: %x", source, first)
		}
		was, is := binary.BigEndian.Uint32(first[off+4:]), binary.BigEndian.Uint32(second[off+4:])
		if binary.BigEndian.Uint16(first[off:]) != dns.TypeOPT {
			most := min(was, 86400)
			most -= min(most, age)
			if source == dnsproxy.SourceStale {
				most = 30
			}
			if is > most {
				t.Errorf("after %d s the TTL was %d and is %d", age, was, is)
			}
			copy(want[off+4:off+8], second[off+4:])
		}
		off += 10 + int(binary.BigEndian.Uint16(first[off+8:]))
	}
	if off > len(first) {
		t.Fatalf("a broken reply came from %q: %x", source, first)
	}
	if !bytes.Equal(second, want) {
		t.Errorf("from %q came\n%x, want\n%x", source, second, want)
	}
}

// nameEnd returns where the name at off ends; one that does not ends behind
// the message.
func nameEnd(msg []byte, off int) int {
	for off < len(msg) {
		switch n := int(msg[off]); {
		case n == 0:
			return off + 1
		case n >= 0xC0:
			return off + 2
		default:
			off += 1 + n
		}
	}
	return off
}

// FuzzUpstream: whatever an upstream sends, over UDP or TCP, whole or not, a
// client gets one reply in time, to its question and in its size.
func FuzzUpstream(f *testing.F) {
	query := question(host, dns.TypeA)
	f.Add(replying(record(f))("", query), false)
	f.Add(sized(f, 200)("tcp", query), false)
	f.Add(sized(f, 200)("udp", query), true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, sent []byte, tcp bool) {
		if len(sent) > 60000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			up := &memoryUpstream{handle: func(_ string, q *dns.Msg) []byte {
				reply := bytes.Clone(sent)
				if len(reply) >= 2 {
					binary.BigEndian.PutUint16(reply, q.Id)
				}
				return reply
			}}
			c := serveInMemory(t, &dnsproxy.Server{}, up)
			start := time.Now()
			var got []byte
			if tcp {
				conn := c.dialTCP()
				send(t, conn, wire(t, query))
				got = recv(t, conn)
			} else {
				got = c.raw(wire(t, query))
				if len(got) > dns.MinMsgSize {
					t.Errorf("%d bytes", len(got))
				}
			}
			if took := time.Since(start); took > 4500*time.Millisecond {
				t.Errorf("took %v", took)
			}
			if len(got) < 12 || got[0] != 0x12 || got[1] != 0x34 || got[2]&0x80 == 0 {
				t.Errorf("no reply to the query: %x", got)
			}
		})
	})
}

package relayclient_test

import (
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/relayclient"
	"hyco-sidecar/test/fakedns"
)

func TestRelayNamesAreRememberedForTheirTTL(t *testing.T) {
	reply := func(r *fakedns.Request, rcode int, answers ...string) {
		m := new(dns.Msg).SetRcode(r.Msg, rcode)
		m.RecursionAvailable = true
		for _, a := range answers {
			rr, err := dns.NewRR(a)
			if err != nil {
				t.Error(err)
			}
			if rr.Header().Rrtype == dns.TypeSOA {
				m.Ns = append(m.Ns, rr)
			} else {
				m.Answer = append(m.Answer, rr)
			}
		}
		r.SendMsg(m)
	}
	const soa = "example. 300 IN SOA ns.example. admin.example. 1 2 3 4 20"
	ordinary := func(r *fakedns.Request, qtype uint16) {
		if qtype == dns.TypeA {
			reply(r, dns.RcodeSuccess, "contoso.example. 60 IN CNAME g.example.", "g.example. 30 IN A 192.0.2.1")
		} else {
			reply(r, dns.RcodeSuccess, soa)
		}
	}
	for _, test := range []struct {
		name   string
		answer func(r *fakedns.Request, qtype uint16)
		after  time.Duration
		asked  int // queries that the second lookup sends
	}{
		{"within the least TTL", ordinary, 19 * time.Second, 0},
		{"after the SOA's minimum", ordinary, 20 * time.Second, 1},
		{"after the least TTL", ordinary, 30 * time.Second, 2},
		{"a TTL of 0", func(r *fakedns.Request, qtype uint16) {
			if qtype == dns.TypeA {
				reply(r, dns.RcodeSuccess, "contoso.example. 0 IN A 192.0.2.1")
			} else {
				reply(r, dns.RcodeSuccess, soa)
			}
		}, 0, 1},
		{"no word on how long there is no data", func(r *fakedns.Request, qtype uint16) {
			if qtype == dns.TypeA {
				reply(r, dns.RcodeSuccess, "contoso.example. 60 IN A 192.0.2.1")
			} else {
				reply(r, dns.RcodeSuccess)
			}
		}, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			up := fakedns.Start(t, func(r *fakedns.Request) { test.answer(r, r.Msg.Question[0].Qtype) })
			var clock atomic.Int64
			names := relayclient.Names(up.Addr.String(), func() time.Time { return time.Unix(clock.Load(), 0) })
			for range 2 {
				addrs, err := names.LookupHost(t.Context(), "contoso.example.")
				if err != nil || !slices.Equal(addrs, []string{"192.0.2.1"}) {
					t.Fatalf("got %v, %v", addrs, err)
				}
				clock.Add(int64(test.after / time.Second))
			}
			if got := len(up.Seen()) - 2; got != test.asked {
				t.Errorf("the second lookup sent %d queries, want %d", got, test.asked)
			}
		})
	}
}

func TestFailuresOfNameserversAreNotRemembered(t *testing.T) {
	var healthy atomic.Bool
	up := fakedns.Start(t, func(r *fakedns.Request) {
		m := new(dns.Msg).SetRcode(r.Msg, dns.RcodeServerFailure)
		if healthy.Load() {
			m = new(dns.Msg).SetReply(r.Msg)
			if r.Msg.Question[0].Qtype == dns.TypeA {
				m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: r.Msg.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 7)}}
			}
		}
		r.SendMsg(m)
	})
	names := relayclient.Names(up.Addr.String(), nil)
	if _, err := names.LookupHost(t.Context(), "contoso.example."); err == nil {
		t.Fatal("a failing nameserver gave an answer")
	}
	healthy.Store(true)
	addrs, err := names.LookupHost(t.Context(), "contoso.example.")
	if e, ok := errors.AsType[*net.DNSError](err); ok || !slices.Equal(addrs, []string{"192.0.2.7"}) {
		t.Errorf("got %v, %v", addrs, e)
	}
}

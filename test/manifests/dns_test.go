package manifests_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// dnsRole makes the test binary the DNS server of a network in place of running
// tests. Its arguments are an address and names as name=address.
const dnsRole = "MANIFESTS_DNS"

func TestMain(m *testing.M) {
	if os.Getenv(dnsRole) == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, playDNS(os.Args[1], os.Args[2:]))
	os.Exit(1)
}

// playDNS answers what Docker's resolver answers: the addresses of the services,
// nothing for other types, and that there is no other name.
func playDNS(address string, names []string) error {
	known := make(map[string]net.IP)
	for _, n := range names {
		name, ip, _ := strings.Cut(n, "=")
		known[name+"."] = net.ParseIP(ip)
	}
	pc, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	server := dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		reply.RecursionAvailable = true
		ip, ok := known[strings.ToLower(q.Question[0].Name)]
		switch {
		case !ok:
			reply.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			header := dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 10}
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: ip})
		}
		_ = w.WriteMsg(reply) // whoever asked asks again
	})}
	return server.ActivateAndServe()
}

package dnsproxy_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// A memoryHandler returns what an upstream sends back, or nil to stay silent.
// It may sleep. Handlers run at the same time.
type memoryHandler func(network string, q *dns.Msg) []byte

// A memoryUpstream is an upstream without a network, for virtual time.
type memoryUpstream struct {
	mu     sync.Mutex
	handle memoryHandler
	asked  []string // lower-case names, without those for the canary
}

// set changes what becomes of the next queries.
func (u *memoryUpstream) set(handle memoryHandler) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handle = handle
}

// count returns how many queries for name have arrived.
func (u *memoryUpstream) count(name string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, asked := range u.asked {
		if asked == dns.CanonicalName(name) {
			n++
		}
	}
	return n
}

// total returns how many queries for any name below contoso.com have arrived:
// what the Server asks on its own account is not among them.
func (u *memoryUpstream) total() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked)
}

// serve answers what arrives on one socket of the Server's until that is closed.
func (u *memoryUpstream) serve(network string, conn net.Conn) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close()
	for {
		raw, err := readQuery(network, conn)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(raw) != nil || len(q.Question) != 1 {
			continue
		}
		u.mu.Lock()
		handle := u.handle
		if name := dns.CanonicalName(q.Question[0].Name); strings.HasSuffix(name, "contoso.com.") {
			u.asked = append(u.asked, name)
		}
		u.mu.Unlock()
		wg.Go(func() {
			reply := handle(network, q)
			if reply == nil {
				return
			}
			if network == "tcp" {
				reply = append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)
			}
			conn.Write(reply)
		})
	}
}

func readQuery(network string, conn net.Conn) ([]byte, error) {
	if network == "udp" {
		buf := make([]byte, 2048)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, raw)
	return raw, err
}

// silent is the handler of an upstream that is out of reach.
func silent(string, *dns.Msg) []byte { return nil }

// packed returns the wire form of a reply, nil if it has none.
func packed(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// replyTo returns a reply with the given code and records, not yet packed.
func replyTo(q *dns.Msg, rcode int, answer ...dns.RR) *dns.Msg {
	m := new(dns.Msg).SetRcode(q, rcode)
	m.RecursionAvailable = true
	m.Compress = true
	m.Answer = answer
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(4096, opt.Do())
	}
	return m
}

// replying returns a handler that answers with these records.
func replying(records ...dns.RR) memoryHandler {
	return func(_ string, q *dns.Msg) []byte { return packed(replyTo(q, dns.RcodeSuccess, records...)) }
}

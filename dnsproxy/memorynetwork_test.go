package dnsproxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A network is in memory: what is sent to an address comes to its
// function, which returns what comes back; nil is silence.
type network struct {
	mu    sync.Mutex
	hosts map[string]func(query []byte) []byte
	asked []string
}

func (n *network) dial(_ context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, address)
	answer, ok := n.hosts[address]
	if !ok {
		return nil, errors.New("no route to host")
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		buf := make([]byte, 1<<16)
		for {
			size, err := far.Read(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			reply := answer(buf[:size])
			n.mu.Unlock()
			if reply != nil {
				far.Write(reply)
			}
		}
	}()
	return near, nil
}

func (n *network) set(address string, answer func([]byte) []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[address] = answer
}

// log returns who has been asked since the last call.
func (n *network) log() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() { n.asked = nil }()
	return strings.Join(n.asked, " ")
}

func dead([]byte) []byte { return nil }

func alive(query []byte) []byte {
	reply := slices.Clone(query)
	reply[2] |= flagQR
	return reply
}

func testQuery(t testing.TB) *query {
	t.Helper()
	m := new(dns.Msg).SetQuestion("www.contoso.com.", dns.TypeA)
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return parseQuery(raw)
}

const (
	first  = "192.0.2.1:53"
	second = "192.0.2.2:53"
	third  = "192.0.2.3:53"
)

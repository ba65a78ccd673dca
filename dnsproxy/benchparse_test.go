package dnsproxy

import (
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkParseAndAnswer is an own name without sockets and goroutines: a query
// is read and its reply composed.
func BenchmarkParseAndAnswer(b *testing.B) {
	a := testAnswerer(b)
	raw := packed(b, "SQL01.corp.example.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false) })
	var q query
	buf := make([]byte, 0, minUDP)
	b.ReportAllocs()
	for b.Loop() {
		if !q.parse(raw) {
			b.Fatal("not a query")
		}
		if reply, _ := a.answer(buf, &q); len(reply) == 0 {
			b.Fatal("no reply")
		}
	}
}

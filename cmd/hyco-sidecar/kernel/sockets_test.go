package kernel

import (
	"net/netip"
	"testing"
)

func TestHolderIsFoundInTheKernelsTable(t *testing.T) {
	const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0201010A:1F90 0301010A:D431 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3
`
	const tcp6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A
   1: 0000000000000000FFFF00000100007F:1F93 00000000000000000000000000000000:0000 0A
`
	for _, test := range []struct{ table, addr, want string }{
		{tcp, "127.0.0.1:53", "127.0.0.1"},
		{tcp, "127.0.0.2:53", ""},
		{tcp, "10.1.1.2:8080", ""}, // a connection, not a listener
		{tcp, "127.77.1.1:8081", "0.0.0.0"},
		{tcp6, "127.77.1.1:8082", "::"},
		{tcp6, "127.0.0.1:8083", "127.0.0.1"},
	} {
		got, ok := holderIn([]byte(test.table), "tcp", netip.MustParseAddrPort(test.addr))
		if ok != (test.want != "") || ok && got != netip.MustParseAddr(test.want) {
			t.Errorf("%s: got %v, %v; want %q", test.addr, got, ok, test.want)
		}
	}
}

func TestUnsentDataIsFoundInTheKernelsTable(t *testing.T) {
	const head = "  sl  local_address rem_address   st\n"
	ours := func(local netip.AddrPort) bool { return local == netip.MustParseAddrPort("127.0.0.1:53") }
	for _, test := range []struct {
		what, table string
		want        bool
	}{
		{"the app has not acknowledged the end", "   0: 0100007F:0035 0100007F:D431 04\n", true},
		{"the last acknowledgement is missing", "   0: 0100007F:0035 0100007F:D431 09\n", true},
		{"both ended at once", "   0: 0100007F:0035 0100007F:D431 0B\n", true},
		{"it is open", "   0: 0100007F:0035 0100007F:D431 01\n", false},
		{"all is acknowledged", "   0: 0100007F:0035 0100007F:D431 06\n", false},
		{"it is another's", "   0: 0200007F:0035 0100007F:D431 04\n", false},
	} {
		if got := hasUnsentDataIn([]byte(head+test.table), ours); got != test.want {
			t.Errorf("%s: got %v, want %v", test.what, got, test.want)
		}
	}
}

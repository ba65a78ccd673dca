package dnsproxy_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"hyco-sidecar/dnsproxy"
)

func TestSystemUpstreamsReadsWhatTheCLibraryReads(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"kubernetes", "search ns.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n", "[10.96.0.10:53]"},
		{"several, tabs, comments", "# a\n; b\nnameserver\t1.1.1.1 # c\nnameserver 9.9.9.9;\nnameserver  8.8.8.8", "[1.1.1.1:53 8.8.8.8:53]"},
		{"IPv6 with a zone", "nameserver fe80::1%eth0\nnameserver 2001:db8::53\n", "[[fe80::1%eth0]:53 [2001:db8::53]:53]"},
		{"twice", "nameserver 1.1.1.1\nnameserver ::ffff:1.1.1.1\n", "[1.1.1.1:53]"},
		{"not understood", "nameserver\nnameserver dns.contoso.com\nnameserver 1.2.3\nnameservers 1.1.1.1\n", "[]"},
		{"carriage returns", "nameserver 1.1.1.1\r\nnameserver 8.8.8.8\r\n", "[1.1.1.1:53 8.8.8.8:53]"},
		{"empty", "", "[]"},
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := dnsproxy.SystemUpstreams(path)
		if err != nil || fmt.Sprint(got) != test.want {
			t.Errorf("%s: got %v, %v, want %s", test.name, got, err, test.want)
		}
	}
	if _, err := dnsproxy.SystemUpstreams(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

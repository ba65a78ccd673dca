package preflight

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

func TestResolvConfIsJudged(t *testing.T) {
	for _, test := range []struct{ text, listen, code, level string }{
		{"nameserver 127.0.0.1\n", "127.0.0.1:53", "resolv_conf", "ok"},
		{"nameserver 127.0.0.1\n", "0.0.0.0:53", "resolv_conf", "ok"},
		{"nameserver 127.0.0.1\nnameserver 10.0.0.10\n", "127.0.0.1:53", "resolv_conf_more_nameservers", "warning"},
		{"nameserver 10.0.0.10\n", "127.0.0.1:53", "resolv_conf_elsewhere", "warning"},
		{"search corp.example\n", "127.0.0.1:53", "resolv_conf_elsewhere", "warning"},
		{"nameserver 10.0.0.10\n", "127.0.0.1:5353", "", ""}, // no resolv.conf can name it
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &Preflight{Plan: plan.New(config.Config{DNSListen: []netip.AddrPort{netip.MustParseAddrPort(test.listen)}}, nil), ResolvConf: file}
		var code, level string
		for _, f := range p.names(t.Context()) {
			code, level = f.Code, f.Level
		}
		if code != test.code || level != test.level {
			t.Errorf("%q and %s: got %s %s, want %s %s", test.text, test.listen, code, level, test.code, test.level)
		}
	}
}

func TestPreflightIsOneLine(t *testing.T) {
	for _, test := range []struct {
		found []admin.Finding
		want  string
	}{
		{fine("relay_reached", "contoso.servicebus.windows.net answers"), `"level":"INFO","msg":"preflight","findings":[],"fine":["contoso.servicebus.windows.net answers"]}`},
		{fault(levelWarning, "no_upstreams", "set HYCO_DNS_UPSTREAMS", "no resolver"), `"level":"WARN","msg":"preflight","findings":["no_upstreams: no resolver: set HYCO_DNS_UPSTREAMS (docs/troubleshooting.md#no_upstreams)"],"fine":[]}`},
	} {
		var out bytes.Buffer
		Report(t.Context(), slog.New(slog.NewJSONHandler(&out, nil)), test.found)
		if _, got, _ := strings.Cut(out.String(), ","); got != test.want+"\n" {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

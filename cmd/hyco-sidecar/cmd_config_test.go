package main

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestCredentialsAreShownByName(t *testing.T) {
	const endpoint = "HYCO_CONNECTION_0_ENDPOINT=sql01.corp.example:1433"
	const namespace = "Endpoint=sb://contoso.servicebus.windows.net/;"
	first := "HYCO_CONNECTION_0_CONNECTION_STRING=" + namespace + "SharedAccessKeyName=send;SharedAccessKey=Zmlyc3Q=;EntityPath=sql01-hc"
	other := "HYCO_CONNECTION_0_SECONDARY_CONNECTION_STRING=" + namespace
	for _, test := range []struct{ secondary, want string }{
		{"SharedAccessKeyName=send2;SharedAccessKey=b3RoZXI=;EntityPath=sql01-hc", "key send, then key send2\n"},
		{"SharedAccessSignature=SharedAccessSignature sr=contoso&sig=c2ln&se=1800000000&skn=send", "key send, then shared access signature until 2027-01-15T08:00:00Z\n"},
	} {
		code, stdout, stderr := execute([]string{endpoint, first, other + test.secondary, "HYCO_DNS_UPSTREAMS=10.0.0.10"}, "config")
		if code != 0 || !strings.Contains(stdout, test.want) {
			t.Errorf("got %d\n%s%s\nwant %s", code, stdout, stderr, test.want)
		}
	}
}

func TestProxyIsShownWithoutItsPassword(t *testing.T) {
	for text, want := range map[string]string{
		"http://proxy.corp.example:3128":                  "http://proxy.corp.example:3128",
		"https://corp%5Capp:hu%3Ash@proxy.corp.example":   "https://proxy.corp.example, with credentials",
		"socks5://app@[2001:db8::1]:1080":                 "socks5://[2001:db8::1]:1080, with credentials",
		"http://app:hush@proxy.corp.example:3128/?x=hush": "http://proxy.corp.example:3128, with credentials",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := describeProxy(u); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := describeProxy(nil); got != "none" {
		t.Errorf("got %q without a proxy", got)
	}
}

func TestConfigPrintsThePlan(t *testing.T) {
	code, stdout, stderr := execute(environ, "config")
	want := `ENDPOINT                 ADDRESS             HYBRID CONNECTION  NAMESPACE                       CREDENTIAL
sql01.corp.example:1433  127.77.133.98:1433  sql01-hc           contoso.servicebus.windows.net  key send
sql01.corp.example:1434  127.77.133.98:1434  sql01b-hc          contoso.servicebus.windows.net  key send
api.corp.example:443     127.77.110.147:443  api-hc             contoso.servicebus.windows.net  key send

resolver                     127.0.0.1:53
other names go to            10.0.0.10:53
addresses remembered for     30s
time to connect              30s
ping after silence of        30s
linger after one side ended  2m0s
idle time-out                off
connections at most          4096
warm connections             1
time to drain                25s
capture                      off
probes, metrics and status   127.0.0.1:8477
log                          info, auto
proxy                        none
`
	if code != 0 || stdout != want || stderr != "" {
		t.Errorf("got %d\n%s%s\nwant 0\n%s", code, stdout, stderr, want)
	}
}

func TestConfigPrintsHostsLines(t *testing.T) {
	code, stdout, _ := execute(environ, "config", "--hosts")
	if want := "127.77.133.98\tsql01.corp.example\n127.77.110.147\tapi.corp.example\n"; code != 0 || stdout != want {
		t.Errorf("got %d\n%s\nwant\n%s", code, stdout, want)
	}
}

func TestUpstreamOnAnAddressOfOursIsRefused(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().Is4() || prefix.Addr().IsLoopback() {
			continue
		}
		env := append([]string{"HYCO_DNS_LISTEN=0.0.0.0:53"}, environ[:2]...)
		code, _, stderr := execute(append(env, "HYCO_DNS_UPSTREAMS="+prefix.Addr().String()), "config")
		if code != 2 || !strings.Contains(stderr, "HYCO_DNS_UPSTREAMS: "+prefix.Addr().String()+":53 is this sidecar itself") {
			t.Errorf("%s: got %d, %q", prefix.Addr(), code, stderr)
		}
	}
}
